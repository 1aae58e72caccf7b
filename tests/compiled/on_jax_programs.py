"""The compiled code in programs of JAX with two CPU devices; `test_on_jax.py` runs it."""

import operator
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax import export
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import keras_pac
from tests.support.image_sums import problem, windowed_sum
from tests.support.on_jax import built, calls_of_the_core
from tests.support.tolerances import assert_close

# Which of x, guide and the weights have a new axis, and where it is.
VMAPS = {
    "x and guide": (0, 0, None),
    "an inner axis of x": (2, None, None),
    "the guide": (None, 1, None),
    "weights": (None, None, 0),
    "all": (1, 0, 0),
}
MESH = Mesh(np.array(jax.devices()), "batch")


@pytest.fixture(autouse=True)
def compiled():
    yield
    keras_pac.set_implementation("compiled")


@pytest.mark.parametrize("axes", VMAPS)
@pytest.mark.parametrize("name", ["transposed", "pool options"])
def test_vmap_is_a_call_for_each(name, axes, rng):
    _, loss, arguments = built(name, rng, size=(3, 4))
    new, count = VMAPS[axes], 3

    def stacked(axis, array):
        several = jnp.asarray(rng.normal(size=(count, *array.shape))) + array
        return jnp.moveaxis(several, 0, axis)

    several = [
        argument if axis is None else jax.tree.map(lambda a, n=axis: stacked(n, a), argument)
        for axis, argument in zip(new, arguments)
    ]
    function = jax.value_and_grad(loss, (0, 1, 2))
    actual = jax.jit(jax.vmap(function, new))(*several)
    one = jax.jit(function)
    for k in range(count):
        arguments = [
            argument
            if axis is None
            else jax.tree.map(partial(jnp.take, indices=k, axis=axis), argument)
            for axis, argument in zip(new, several)
        ]
        of_k = jax.tree.map(operator.itemgetter(k), actual)
        jax.tree.map(partial(assert_close, dtype="float64"), of_k, one(*arguments))


def test_vmap_over_images_without_a_batch(rng):
    _, loss, (x, guide, weights) = built("conv", rng)
    one = lambda x, guide: loss(x[None], guide[None], weights)  # noqa: E731
    assert_close(jax.vmap(one)(x, guide).sum(), loss(x, guide, weights), "float64")


def test_vmap_of_vmap(rng):
    layer, loss, (x, guide, weights) = built("conv options", rng)
    others = [jnp.asarray(rng.normal(size=(count, *a.shape))) for count, a in ((2, x), (3, guide))]
    gradients = jax.grad(loss, (0, 1, 2))
    along_guides = jax.vmap(gradients, (None, 0, None))
    actual = jax.jit(jax.vmap(along_guides, (0, None, None)))(*others, weights)
    for i, x in enumerate(others[0]):
        for k, guide in enumerate(others[1]):
            one = jax.tree.map(lambda array, place=(i, k): array[place], actual)
            jax.tree.map(partial(assert_close, dtype="float64"), one, gradients(x, guide, weights))


@pytest.mark.parametrize("wanted", [(0, 1, 2), (2,)], ids=["all", "weights"])
@pytest.mark.parametrize("name", ["conv options", "transposed", "pool options"])
def test_devices_share_the_batch(name, wanted, rng):
    _, loss, arguments = built(name, rng, batch=2 * MESH.size)
    function = jax.jit(jax.value_and_grad(loss, wanted))
    specs = P("batch"), P("batch"), P()
    shared = [
        jax.device_put(argument, NamedSharding(MESH, spec))
        for argument, spec in zip(arguments, specs)
    ]
    actual, expected = function(*shared), function(*arguments)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)
    program = function.lower(*shared).compile().as_text()
    assert "all-reduce" in program and "all-gather" not in program
    for gradient, k in zip(actual[1], wanted):
        expected = NamedSharding(MESH, specs[k])
        for array in jax.tree.leaves(gradient):
            assert array.sharding.is_equivalent_to(expected, array.ndim)


def image_sum(window):
    """A loss of images and a filter, and its gradients, with a softmax of the sum."""

    def loss(images, filter):
        y = windowed_sum("compiled", window, {**images, "filter": filter})
        return (y * images["upstream"]).sum()

    return jax.value_and_grad(loss, (0, 1))


def test_devices_share_an_image_that_is_added(rng):
    window, images = problem("full", 3, rng, batch=2 * MESH.size)
    filter = images.pop("filter")
    function = jax.jit(image_sum(window))
    specs = P("batch"), P()
    shared = [
        jax.device_put(value, NamedSharding(MESH, spec))
        for value, spec in zip((images, filter), specs)
    ]
    actual, expected = function(*shared), function(images, filter)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)
    program = function.lower(*shared).compile().as_text()
    assert "all-reduce" in program and "all-gather" not in program
    for array in actual[1][0].values():
        assert array.sharding.is_equivalent_to(NamedSharding(MESH, P("batch")), array.ndim)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_of_an_image_that_is_added(axes, rng):
    window, images = problem("full", 3, rng)
    filter = images.pop("filter")
    several = [
        value if axis is None else jax.tree.map(lambda a: jnp.stack([a, -a]), value)
        for axis, value in zip(axes, (images, filter))
    ]
    function = image_sum(window)
    actual = jax.jit(jax.vmap(function, axes))(*several)
    for k in range(2):
        one = [
            value if axis is None else jax.tree.map(operator.itemgetter(k), value)
            for axis, value in zip(axes, several)
        ]
        of_k = jax.tree.map(operator.itemgetter(k), actual)
        jax.tree.map(partial(assert_close, dtype="float64"), of_k, function(*one))


def test_a_batch_that_the_devices_do_not_divide(rng):
    _, loss, arguments = built("conv", rng, batch=2 * MESH.size)
    shared = [
        jax.device_put(argument, NamedSharding(MESH, spec))
        for argument, spec in zip(arguments, (P("batch"), P("batch"), P()))
    ]
    less = jax.grad(lambda x, guide, weights: loss(x[1:], guide[1:], weights), (0, 1, 2))
    actual, expected = jax.jit(less)(*shared), less(*arguments)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)


@pytest.mark.skipif(not hasattr(jax.lax, "pcast"), reason="this JAX has another shard_map")
@pytest.mark.parametrize("implementation", ["compiled", "taps"])
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("name", ["conv options", "transposed", "pool options"])
def test_shard_map_over_the_batch(name, checked, implementation, rng):
    keras_pac.set_implementation(implementation)
    layer, loss, (x, guide, weights) = built(name, rng, batch=MESH.size)
    batch = P("batch")

    def share(x, guide, weights):
        *images, weights = jax.grad(loss, (0, 1, 2))(x, guide, weights)
        # Where JAX checks what differs between devices, it sums the gradients itself.
        return *images, weights if checked else jax.lax.psum(weights, "batch")

    specs = {"mesh": MESH, "in_specs": (batch, batch, P()), "check_vma": checked}
    forward = jax.shard_map(lambda x, guide, weights: layer([x, guide]), **specs, out_specs=batch)
    assert_close(jax.jit(forward)(x, guide, weights), layer([x, guide]), "float64")
    gradients = jax.jit(jax.shard_map(share, **specs, out_specs=(batch, batch, P())))
    actual, expected = gradients(x, guide, weights), jax.grad(loss, (0, 1, 2))(x, guide, weights)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)


def trained_model():
    """A model after some steps, and its input."""
    keras.utils.set_random_seed(0)
    inverse = {"kernel_type": "inverse", "alpha": 0.1, "exponent": 0.5}
    model = keras.Sequential(
        [
            keras.Input((8, 10, 2)),
            keras_pac.PacConv2D(4, 3, padding="same", guide_filters=2, smoothing=("learned", 3)),
            keras_pac.PacPool2D(3, strides=2, padding="same", normalize_kernel=True, **inverse),
            keras_pac.PacConv2DTranspose(1, 3, strides=2, padding="same"),
        ]
    )
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x = np.random.default_rng(0).normal(size=(8, 8, 10, 2)).astype("float32")
    model.fit(x, x.sum(-1, keepdims=True), epochs=3, batch_size=4, shuffle=False, verbose=0)
    for before, after in zip(start, model.get_weights()):
        assert np.any(before != after)
    return model, x


def test_two_devices_learn_what_one_learns():
    one = trained_model()[0].get_weights()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
    try:
        two, _ = trained_model()
        assert len(two.weights[0].value.sharding.device_set) == 2
        for expected, weight in zip(one, two.get_weights()):
            assert_close(weight, expected, "float32")
    finally:
        keras.distribution.set_distribution(None)


def test_a_model_is_saved_and_exported(tmp_path):
    model, x = trained_model()
    y = model.predict(x, verbose=0)
    assert calls_of_the_core(lambda x: model(x), x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), y)
    program = export.export(jax.jit(lambda x: model(x)))(x)
    assert "custom_call" not in program.mlir_module()
    assert_close(program.call(x), y, "float32")


def test_a_saved_model_runs_in_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")

    def served(model, x):
        """What a model gives in TensorFlow, whose XLA has no such target in this process."""
        model.export(tmp_path / model.name, verbose=False)
        exported = tf.saved_model.load(tmp_path / model.name)
        return exported.serve(x)

    model, x = trained_model()
    plain = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(2, 3)], name="plain")
    try:
        served(plain, x)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        pytest.skip(f"this TensorFlow can't read what this JAX writes of a plain layer: {error}")
    assert_close(served(model, x), model.predict(x, verbose=0), "float32")


@pytest.mark.parametrize("name", ["conv options", "transposed", "pool"])
def test_forward_through_reverse(name, rng):
    _, loss, arguments = built(name, rng, batch=1, size=(5, 4))
    gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
    direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), arguments)
    actual = jax.jvp(gradient, arguments, direction)[1]
    step = 1e-6
    moved = [
        jax.tree.map(lambda a, d, sign=sign: a + sign * step * d, arguments, direction)
        for sign in (1, -1)
    ]
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * step), *(gradient(*m) for m in moved))
    jax.tree.map(partial(assert_close, dtype="finite differences"), actual, differences)


def test_a_scan_that_computes_again_what_it_does_not_keep(rng):
    _, loss, (x, guide, weights) = built("conv", rng)

    def scanned(weights):
        one = jax.checkpoint(lambda x, guide: loss(x[None], guide[None], weights))
        return jax.lax.scan(lambda total, images: (total + one(*images), None), 0.0, (x, guide))[0]

    actual, expected = jax.jit(jax.grad(scanned))(weights), jax.grad(loss, 2)(x, guide, weights)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)

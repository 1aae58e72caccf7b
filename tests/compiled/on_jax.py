"""Values and gradients of the compiled code on JAX, with float64 on; `test_on_jax.py` runs it."""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import keras_pac
from tests.support.cases import (
    GOLDEN_NAMES,
    OPERATIONS,
    load_golden,
    make_case,
    random_case,
    rounded_case,
)
from tests.support.image_sums import DTYPES, KINDS, problem, rounded, windowed_sum
from tests.support.on_jax import built, calls_of_the_core
from tests.support.runners import WEIGHTS, golden_layer, run_ops
from tests.support.tolerances import assert_close, assert_gradients_close

SOME_LAYERS = ["conv", "conv options", "conv shared", "transposed", "pool options"]


def with_gradients(function, case, given):
    """The results of `function(arrays)`, and the gradients of sum(y * grad_y) by those given."""
    fixed = {name: array for name, array in case.arrays.items() if name not in given}

    def loss(given):
        y, *results = function({**fixed, **given})
        return (y * case.grad_y.astype(y.dtype)).sum(dtype="float64"), (y, *results)

    assert calls_of_the_core(loss, given)
    (_, results), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(given)
    return results, gradients


def check(case, dtype="float64", function=None):
    """Values and gradients of a case by `function(arrays)`, the operations by default."""
    given = {name: jnp.asarray(case.arrays[name], dtype) for name in case.gradients}
    function = function or (lambda arrays: run_ops(case, arrays)[::2])
    (y, *output_mask), gradients = with_gradients(function, case, given)
    assert y.dtype == dtype
    assert_close(y, case.y, dtype, "y")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask[0], case.output_mask)
    assert_gradients_close(gradients, case.gradients, dtype)


def layer_function(name, dtype="float64"):
    """A golden layer as a function of the arrays of its case: the guide's K is never stored."""
    layer, case = golden_layer(name, dtype), load_golden(name)

    def function(arrays):
        weights = [
            (getattr(layer, WEIGHTS[name]), array)
            for name, array in arrays.items()
            if name in case.gradients and name in WEIGHTS
        ]
        calls = {name: arrays[name] for name in ("adapting_kernel", "valid_mask") if name in arrays}
        with keras.StatelessScope(state_mapping=weights):
            results = layer([arrays[key] for key in ("x", "guide") if key in arrays], **calls)
        return results if isinstance(results, tuple) else (results,)

    return function


def is_one_pass(name):
    """Whether the layer of a golden file makes one call of the core, the operations two."""
    case = load_golden(name)
    whole_windows = case.options["normalize"] or case.options["channel_wise"]
    return "guide" in case.arrays and "valid_mask" not in case.arrays and not whole_windows


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden(name):
    """As a layer where that makes one call of the core; the operations, which make two, if not."""
    check(load_golden(name), function=layer_function(name) if is_one_pass(name) else None)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_operations_of_few_digits(operation, dtype):
    case = random_case(operation, 3)
    check(rounded_case(case, lambda array: np.asarray(jnp.asarray(array, dtype), "float64")), dtype)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_operations(operation, seed):
    check(random_case(operation, seed))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (18, 70)])  # a tile has 8 x 64 pixels
def test_small_and_large_images(operation, size, rng):
    case = make_case(rng, operation, (3, 5), size, batch=2, kind="inverse", smoothing=3)
    given = {name: jnp.asarray(array) for name, array in case.sources.items()}
    (y,), gradients = with_gradients(lambda arrays: run_ops(case, arrays)[:1], case, given)
    assert_close(y, case.y, "float64")

    def portable(given):
        with keras_pac.implementation("taps"):
            return (run_ops(case, given)[0] * case.grad_y).sum()

    assert_gradients_close(gradients, jax.jit(jax.grad(portable))(given), "float64")


@pytest.mark.parametrize("name", SOME_LAYERS)
def test_an_empty_batch(name, rng):
    layer, loss, (x, guide, weights) = built(name, rng)
    x, guide = x[:0], guide[:0]
    assert layer([x, guide]).shape == layer.compute_output_shape(x.shape)
    gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(x, guide, weights)
    assert gradients[0].shape == x.shape and gradients[1].shape == guide.shape
    for gradient in gradients[2]:
        assert not np.any(gradient)


@pytest.mark.parametrize("name", SOME_LAYERS)
def test_two_runs_give_the_same_bits(name, rng):
    _, loss, arguments = built(name, rng, dtype="float32", size=(40, 70))
    function = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    first, second = (jax.tree.map(np.asarray, function(*arguments)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture
def only_float32():
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


def test_without_float64(only_float32):
    case = load_golden("conv_inv_asym_norm_avg5")
    y, gradients = with_gradients(lambda arrays: run_ops(case, arrays)[:1], case, dict(case.arrays))
    assert y[0].dtype == "float32"
    assert_close(y[0], case.y, "float32")
    for name, expected in case.gradients.items():
        assert_close(gradients[name], expected, "float32", name)


@pytest.mark.parametrize("name", ["conv", "conv shared", "pool", "transposed options"])
@pytest.mark.parametrize("by", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_only_gradients_that_are_asked_for_are_computed(name, by, rng):
    layer, loss, arguments = built(name, rng)
    forward = len(calls_of_the_core(loss, *arguments))
    calls = calls_of_the_core(jax.grad(loss, by), *arguments)
    written = set().union(*calls[forward:]) - {"center", "adapting_kernel"}
    guide_numbers = {"alpha", "exponent"} & {w.name.split("_")[0] for w in layer.weights}
    weights = {"filter", "bias"} if hasattr(layer, "kernel") else set()
    expected = [{"x"}, {"guide"}, weights | guide_numbers]
    assert written == set().union(*(expected[k] for k in by))


# Few, since JAX takes seconds to compile the portable code's second derivatives.
@pytest.mark.parametrize("name", ["conv fixed", "conv shared", "pool options"])
def test_derivatives_of_gradients(name, rng):
    """The Hessian times a vector, by differences of gradients."""
    _, loss, arguments = built(name, rng, size=(3, 4))
    gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
    vector = jax.tree.map(lambda array: jnp.asarray(rng.normal(size=array.shape)), arguments)

    def along(*arguments):
        products = jax.tree.map(jnp.vdot, gradient(*arguments), vector)
        return sum(jax.tree.leaves(products))

    def moved(step):
        return gradient(*jax.tree.map(lambda array, v: array + step * v, arguments, vector))

    actual = jax.jit(jax.grad(along, (0, 1, 2)))(*arguments)
    expected = jax.tree.map(lambda a, b: (a - b) / 2e-5, moved(1e-5), moved(-1e-5))
    jax.tree.map(partial(assert_close, dtype="finite differences"), actual, expected)


def test_forward_mode_is_refused_in_words(rng):
    _, loss, arguments = built("conv", rng)
    with pytest.raises(TypeError, match="forward-mode .* custom_vjp"):
        jax.jvp(loss, arguments, arguments)


def test_a_penalty_of_gradients_by_other_tensors(rng):
    _, loss, arguments = built("conv fixed", rng, size=(3, 4))

    def penalty(*arguments):
        return sum((gradient**2).sum() for gradient in jax.grad(loss, (0, 1))(*arguments))

    actual = jax.jit(jax.grad(penalty, 2))(*arguments)
    with keras_pac.implementation("taps"):
        # A new function: JAX remembers what it traced for the other one.
        expected = jax.jit(jax.grad(lambda *arguments: penalty(*arguments), 2))(*arguments)
    jax.tree.map(partial(assert_close, dtype="float64"), actual, expected)


def image_sum(implementation, window, softmax=True):
    """A loss that is a function of the tensors."""

    def loss(tensors):
        y = windowed_sum(implementation, window, tensors, softmax)
        return (y * tensors["upstream"]).sum(dtype="float64"), y

    return jax.value_and_grad(loss, has_aux=True)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_an_image(kind, dtype, softmax, rng):
    window, arrays = problem(kind, 3, rng)
    given = {name: jnp.asarray(array, dtype) for name, array in arrays.items()}
    function = image_sum("compiled", window, softmax)
    assert calls_of_the_core(function, given)
    (_, y), gradients = jax.jit(function)(given)
    (_, expected), wanted = image_sum("taps", window, softmax)(rounded(arrays, dtype))
    assert y.dtype == dtype
    assert_close(y, expected, dtype)
    assert_gradients_close(gradients, wanted, dtype)


@pytest.mark.parametrize("kind", ["full", "shared"])
def test_derivatives_of_gradients_of_a_softmax(kind, rng):
    window, arrays = problem(kind, 2, rng, 1, (3, 4))
    given = {name: jnp.asarray(array) for name, array in arrays.items()}

    def penalty(implementation):
        function = image_sum(implementation, window)
        gradients = lambda tensors: jax.tree.leaves(function(tensors)[1])  # noqa: E731
        return jax.grad(lambda tensors: sum(jnp.sin(g).sum() for g in gradients(tensors)))

    actual, expected = (jax.jit(penalty(name))(given) for name in ("compiled", "taps"))
    assert_gradients_close(actual, expected, "float64")

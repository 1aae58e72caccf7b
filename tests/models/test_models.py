"""The joint upsampling networks: the reference numbers, sizes, saving and export."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import models
from keras_pac.convert import load_pacnet_weights
from tests.support.exported import run_exported
from tests.support.paths import REFERENCE_MODELS
from tests.support.tolerances import assert_close

REFERENCE_CLASSES = {
    "PacJointUpsample": models.PacJointUpsample,
    "PacJointUpsampleLite": models.PacJointUpsampleLite,
    "DJIF": models.DJIF,
    "JointBilateral": models.JointBilateralUpsample,
}

MAKE = {
    "pac": lambda **kwargs: models.PacJointUpsample(4, **kwargs),
    "lite": lambda **kwargs: models.PacJointUpsampleLite(4, **kwargs),
    "djif": lambda **kwargs: models.DJIF(4, **kwargs),
    "learned": lambda **kwargs: models.LearnedBilateralUpsample(4, **kwargs),
    "bilateral": lambda **kwargs: models.JointBilateralUpsample(4, 5, 0.3, 3.0, **kwargs),
}
every_model = pytest.mark.parametrize("name", MAKE)


def images(size=(6, 8), batch=2, channels=1, factor=4, seed=0):
    """Return random [target_low, guide] in [0, 1]."""
    random = np.random.default_rng(seed)
    (height, width) = size
    return [
        random.random((batch, height, width, channels), "float32"),
        random.random((batch, factor * height, factor * width, 3), "float32"),
    ]


@pytest.mark.parametrize("path", sorted(REFERENCE_MODELS.glob("*.npz")), ids=lambda path: path.stem)
def test_reference_network(path, implementation):
    reference = np.load(path)
    config = json.loads(str(reference["config"]))
    model_class = REFERENCE_CLASSES[config.pop("model")]
    config.pop("channels", None)
    model = model_class(**config)
    load_pacnet_weights(model, path.with_suffix(".pth"))
    target, guide, expected = (
        reference[name].transpose(0, 2, 3, 1) for name in ("target_low", "guide", "y")
    )
    assert_close(model([target, guide]), expected, "float32")


@pytest.mark.parametrize(
    "model_class, factor, count",
    [
        (models.PacJointUpsample, 4, 183_489),
        (models.PacJointUpsample, 8, 221_937),
        (models.PacJointUpsample, 16, 260_385),
        (models.PacJointUpsampleLite, 4, 55_509),
        (models.PacJointUpsampleLite, 8, 56_273),
        (models.PacJointUpsampleLite, 16, 55_777),
        (models.DJIF, 4, 56_323),
        (models.DJIF, 16, 56_323),
    ],
)
def test_number_of_parameters(model_class, factor, count):
    assert model_class(factor).count_params() == count


@every_model
def test_each_target_channel_is_an_image_of_its_own(name):
    model = MAKE[name]()
    target, guide = images(channels=3)
    together = model([target, guide])
    apart = [model([target[..., i : i + 1], guide]) for i in range(3)]
    assert_close(together, np.concatenate(apart, axis=3), "float32")


@every_model
@pytest.mark.parametrize("size", [(2, 2), (5, 7), (3, 13)], ids=str)
def test_any_size(name, size):
    y = MAKE[name]()(images(size, channels=2))
    assert tuple(y.shape) == (2, 4 * size[0], 4 * size[1], 2)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("name", ["pac", "lite", "learned", "bilateral"])
def test_a_single_pixel(name):
    assert np.isfinite(MAKE[name]()(images((1, 1)))).all()


def test_djif_refuses_what_its_first_convolution_cannot_see():
    with pytest.raises(ValueError, match="at least 5x5"):
        MAKE["djif"]()(images((1, 1)))


@every_model
def test_unknown_sizes_in_a_graph(name):
    model = MAKE[name]()
    function = tf.function(
        lambda target, guide: model([target, guide]),
        input_signature=[tf.TensorSpec((None,) * 4), tf.TensorSpec((None, None, None, 3))],
    )
    for size, channels in [((6, 8), 1), ((3, 5), 2)]:
        inputs = images(size, channels=channels)
        assert_close(function(*inputs), model(inputs), "float32")
    target, _ = images((6, 8))
    _, guide = images((6, 9))
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(target, guide)


@every_model
def test_in_a_functional_model_of_unknown_size(name):
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 3))]
    layer = MAKE[name]()
    outputs = layer(inputs)
    assert tuple(outputs.shape) == (None, None, None, 2)
    batch = images(channels=2)
    assert_close(keras.Model(inputs, outputs)(batch), layer(batch), "float32")


@every_model
def test_save_and_reload(name, tmp_path):
    model, batch = MAKE[name](), images()
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(reloaded) is type(model)
    assert reloaded.get_config() == model.get_config()
    np.testing.assert_array_equal(reloaded(batch), model(batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKE)
def test_export_and_reload_without_keras_pac(name, tmp_path):
    model = MAKE[name]()
    # Reloaded, never called: neither the size nor the number of channels is fixed by anything.
    model.save(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras").export(tmp_path / "model", verbose=False)
    batch = images((3, 5), channels=2)
    y, _ = run_exported(tmp_path, batch)
    assert_close(y, model(batch), "float32")


@pytest.mark.parametrize("name", ["pac", "lite", "djif", "learned"])
def test_fit_lowers_the_loss(name):
    keras.utils.set_random_seed(0)
    model = MAKE[name]()
    target, guide = images()
    truth = guide[..., :1] * 0.5
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    history = model.fit([target, guide], truth, epochs=10, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("name", ["pac", "lite", "djif", "learned"])
def test_every_weight_gets_a_gradient(name):
    keras.utils.set_random_seed(0)
    model, batch = MAKE[name](), images()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(batch) ** 2)
    for weight, gradient in zip(
        model.trainable_weights,
        tape.gradient(loss, [weight.value for weight in model.trainable_weights]),
        strict=True,
    ):
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_model
def test_mixed_precision(name, dtype):
    keras.utils.set_random_seed(0)
    model, batch = MAKE[name](), images()
    mixed = MAKE[name](dtype=f"mixed_{dtype}")
    mixed.set_weights(model.get_weights())
    y = mixed(batch)
    assert y.dtype == dtype
    assert_close(tf.cast(y, "float32"), model(batch), f"{dtype} network")


@every_model
def test_float64(name):
    keras.utils.set_random_seed(0)
    model, batch = MAKE[name](), images()
    double = MAKE[name](dtype="float64")
    double.set_weights(model.get_weights())
    y = double(batch)
    assert y.dtype == "float64"
    assert_close(model(batch), y, "float32")


@every_model
@pytest.mark.parametrize(
    "target, guide, message",
    [
        ((1, 6, 8, 1), (1, 24, 31, 3), "must fit `target_low`.*24, 32, 3"),
        ((1, 6, 8, 1), (1, 12, 16, 3), "must fit `target_low`.*24, 32, 3"),
        ((1, 6, 8, 1), (2, 24, 32, 3), "must fit `target_low`.*1, 24, 32, 3"),
        ((1, 6, 8, 1), (1, 24, 32, 1), "must fit `target_low`.*24, 32, 3"),
        ((6, 8, 1), (24, 32, 3), "`target_low` must have 4 dimensions"),
    ],
    ids=str,
)
def test_bad_shapes(name, target, guide, message):
    model = MAKE[name]()
    tensors = tf.zeros(target), tf.zeros(guide)
    with pytest.raises(ValueError, match=message):
        model(list(tensors))
    with pytest.raises(ValueError, match=message):
        tf.function(lambda target, guide: model([target, guide]))(*tensors)
    with pytest.raises(ValueError, match=message):
        model([keras.Input(batch_shape=target), keras.Input(batch_shape=guide)])


@every_model
def test_bad_inputs(name):
    model = MAKE[name]()
    target, guide = images()
    with pytest.raises(ValueError, match="called with two"):
        model(target)
    with pytest.raises(ValueError, match="must have a type of"):
        model([target, (255 * guide).astype("uint8")])
    with pytest.raises(ValueError, match="must have a type of"):
        model([tf.constant("x", shape=(2, 6, 8, 1)), guide])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: models.PacJointUpsample(6), "power of two"),
        (lambda: models.PacJointUpsample(1), "power of two"),
        (lambda: models.PacJointUpsample(0), "positive integer"),
        (lambda: models.PacJointUpsample(4.0), "positive integer"),
        (lambda: models.PacJointUpsampleLite(2), "4, 8 or 16"),
        (lambda: models.DJIF("4"), "positive integer"),
        (lambda: models.LearnedBilateralUpsample(3), r"`factor` must be one of \(2, 4, 8, 16\)"),
        (lambda: models.LearnedBilateralUpsample(4, weights="imagenet"), "weights='imagenet'"),
        (lambda: models.JointBilateralUpsample(4, 4, 1.0, 1.0), "odd integer"),
        (lambda: models.JointBilateralUpsample(4, 3, 1.0, 1.0), "at least `factor`"),
        (lambda: models.JointBilateralUpsample(4, 5, 0.0, 1.0), "`scale_space` must be"),
        (lambda: models.JointBilateralUpsample(4, 5, 1.0, float("nan")), "`scale_color` must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("factor, kernel_size", [(1, 1), (2, 3), (3, 3), (3, 5), (4, 9), (5, 5)])
def test_joint_bilateral_keeps_a_constant(factor, kernel_size):
    model = models.JointBilateralUpsample(factor, kernel_size, 0.1, 1.0)
    target, guide = images((4, 5), factor=factor)
    target = np.full_like(target, 7.0)
    expected = np.full((2, 4 * factor, 5 * factor, 1), 7.0)
    assert_close(model([target, guide]), expected, "float32")


def test_the_kind_of_the_target_is_a_third_input():
    model, (target, guide) = models.LearnedBilateralUpsample(np.int64(4)), images()
    kinds = np.array([[1], [-1]])  # integers are taken, too
    y = np.asarray(model([target, guide, kinds]))
    for i, kind in enumerate(kinds):
        alone = model([target[i : i + 1], guide[i : i + 1], np.float32(kind)[None]])
        assert_close(alone[0], y[i], "float32")
    unknown = model([target, guide, np.zeros((2, 1), np.float32)])
    np.testing.assert_array_equal(model([target, guide]), unknown)
    assert np.abs(y - unknown).max() > 1e-4
    for wrong, message in (((2,), "2 dimensions"), ((1, 1), r"\(2, 1\)"), ((2, 2), r"\(2, 1\)")):
        with pytest.raises(ValueError, match=f"`kind` must .*{message}"):
            model([target, guide, np.zeros(wrong, np.float32)])


def test_far_from_every_alike_pixel_the_mean_is_interpolation():
    """Where all weights are 0, and with r = 0, the result is bilinear."""
    model, (target, guide) = models.LearnedBilateralUpsample(4), images()
    model.color_scale.assign(1e4)  # random colours: no two pixels are alike
    kernel, bias = model.head.get_weights()
    model.head.set_weights([0 * kernel, bias])
    expected = keras.ops.image.resize(target, (24, 32), interpolation="bilinear")
    y = np.asarray(model([target, guide]))
    samples = np.zeros((24, 32), bool)
    samples[1::4, 1::4] = True  # there a pixel is alike: the sample itself
    assert_close(y[:, ~samples], np.asarray(expected)[:, ~samples], "float32")
    assert_close(y[:, 1::4, 1::4], target, "float32")

"""The layers as Keras layers: shapes, settings, weights, saving, training."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D, ops
from tests.support.layer_cases import INVERSE, LAYERS, inputs_of, layer_of, model_of, shaken
from tests.support.runners import to_channels_first
from tests.support.tolerances import assert_close

# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(7, 9), (8, 6), (13, 11)])
@pytest.mark.parametrize("name", LAYERS)
def test_output_shapes_are_as_announced(implementation, name, size, data_format, rng):
    layer = layer_of(name, data_format=data_format)
    inputs = inputs_of(name, rng, size=size)
    mask = np.ones((*inputs[0].shape[:3], 1), "float32")
    if data_format == "channels_first":
        inputs, mask = [to_channels_first(tensor) for tensor in inputs], to_channels_first(mask)
    shape = layer.compute_output_shape([tensor.shape for tensor in inputs])
    assert layer.compute_output_shape(inputs[0].shape) == shape
    y, output_mask = layer(inputs, valid_mask=mask)
    assert y.shape == layer(inputs).shape == shape
    symbolic = [keras.KerasTensor(tensor.shape) for tensor in inputs]
    spec, mask_spec = layer(symbolic, valid_mask=keras.KerasTensor(mask.shape))
    assert spec.shape == layer(symbolic).shape == shape
    assert mask_spec.shape == output_mask.shape


@pytest.mark.parametrize("name", LAYERS)
def test_unknown_sizes_stay_unknown(name):
    layer = layer_of(name)
    channels = 2 if name in ("conv shared", "transposed initializer", "pool", "pool options") else 3
    assert layer.compute_output_shape((None, None, 9, 2))[:2] == (None, None)
    assert layer.compute_output_shape((None, None, None, 2)) == (None, None, None, channels)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_model_of_unknown_size_gives_what_the_layer_gives(implementation, name, rng):
    model = model_of(name)
    for size in ((7, 9), (8, 7)):
        inputs = inputs_of(name, rng, size=size)
        assert_close(model.predict(inputs, verbose=0), model.layers[-1](inputs), "float32")


@pytest.mark.parametrize("name", LAYERS)
def test_channels_first_is_channels_last_transposed(implementation, name, rng):
    last, first = (layer_of(name, data_format=d) for d in ("channels_last", "channels_first"))
    inputs = inputs_of(name, rng)
    mask = (rng.random((2, 7, 9, 1)) < 0.6).astype("float32")
    y, output_mask = last(inputs, valid_mask=mask)
    first.build([to_channels_first(tensor).shape for tensor in inputs])
    first.set_weights(last.get_weights())
    inputs = [to_channels_first(tensor) for tensor in inputs]
    y_first, output_mask_first = first(inputs, valid_mask=to_channels_first(mask))
    assert_close(y_first, to_channels_first(y), "float32")
    np.testing.assert_array_equal(output_mask_first, to_channels_first(output_mask))


# --- settings and weights -------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_config_makes_the_same_layer(name, rng):
    layer = layer_of(name)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    inputs = inputs_of(name, rng)
    y = layer(inputs)
    again.build([tensor.shape for tensor in inputs])
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs), y)
    for key, value in LAYERS[name][1].items():
        if isinstance(value, (int, float, bool)) and key not in ("kernel_size", "strides"):
            if key != "dilation_rate":
                assert layer.get_config()[key] == value


def test_the_config_has_every_argument():
    for kind in (PacConv2D, PacConv2DTranspose, PacPool2D):
        arguments = {"filters": 3} if kind is not PacPool2D else {}
        layer = kind(kernel_size=3, **arguments)
        signature = inspect.signature(kind.__init__).parameters
        assert set(signature) - {"self", "kwargs"} <= set(layer.get_config())


@pytest.mark.parametrize(
    "name, trainable, fixed",
    [
        ("conv", ["bias", "kernel"], []),
        ("conv options", ["alpha", "exponent", "kernel", "smoothing"], []),
        ("conv fixed", ["bias", "kernel"], ["alpha", "exponent"]),
        ("transposed options", ["alpha", "bias", "exponent", "kernel"], []),
        ("pool", [], []),
        ("pool options", ["alpha", "exponent"], []),
    ],
)
def test_weights(name, trainable, fixed, rng):
    layer = layer_of(name)
    layer.build([tensor.shape for tensor in inputs_of(name, rng)])
    assert sorted(weight.name for weight in layer.trainable_weights) == trainable
    assert sorted(weight.name for weight in layer.non_trainable_weights) == fixed


def test_initial_weights():
    layer = PacConv2D(
        3,
        3,
        smoothing=("learned", 5),
        bias_initializer="ones",
        kernel_initializer="zeros",
        **INVERSE,
    )
    layer.build((1, 7, 7, 2))
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    assert weights["alpha"] == np.float32(0.2) and weights["exponent"] == np.float32(0.4)
    np.testing.assert_allclose(weights["smoothing"], np.full((5, 5), 1 / 25), rtol=1e-6)
    np.testing.assert_array_equal(weights["bias"], np.ones(3))
    np.testing.assert_array_equal(weights["kernel"], np.zeros((3, 3, 2, 3)))
    pool = PacPool2D(3, channel_wise=True, **INVERSE)
    pool.build((1, 7, 7, 2))
    assert pool.weights[0].shape == (2,)


@pytest.mark.parametrize(
    "kind, kernel_shape",
    [(PacConv2D, (3, 3, 2, 4)), (PacConv2DTranspose, (3, 3, 4, 2))],
)
def test_kernel_has_the_shape_of_keras(kind, kernel_shape):
    layer = kind(4, 3)
    layer.build((1, 7, 7, 2))
    assert layer.kernel.shape == kernel_shape
    shared = kind(2, 3, shared_filters=True)
    shared.build((1, 7, 7, 2))
    assert shared.kernel.shape == (3, 3, 1, 1)


def test_regularizers(rng):
    layer = PacConv2D(
        3,
        3,
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer=keras.regularizers.L1(0.25),
        activity_regularizer=keras.regularizers.L1(0.125),
        bias_initializer="random_normal",
    )
    x = rng.normal(size=(2, 5, 6, 2)).astype("float32")
    y = layer(x).numpy()
    expected = [
        0.5 * np.sum(layer.kernel.numpy() ** 2),
        0.25 * np.sum(np.abs(layer.bias.numpy())),
        # Keras divides the loss of an activity by the batch size.
        0.125 * np.sum(np.abs(y)) / 2,
    ]
    assert len(layer.losses) == 3
    assert_close(sorted(map(float, layer.losses)), sorted(expected), "float32")


def test_constraints(rng):
    layer = PacConv2D(3, 3, kernel_constraint="non_neg", bias_constraint="non_neg")
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    x = rng.normal(size=(2, 5, 6, 2))
    model.fit(x, -100 * np.ones((2, 3, 4, 3)), epochs=2, verbose=0)
    for weight in layer.weights:
        assert weight.numpy().min() == 0


def test_activation(rng):
    x = rng.normal(size=(2, 5, 6, 2)).astype("float32")
    plain, layer = PacConv2D(3, 3), PacConv2D(3, 3, activation="tanh")
    y = plain(x)
    layer.build(x.shape)
    layer.set_weights(plain.get_weights())
    assert_close(layer(x), np.tanh(y), "float32")


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv", "conv options", "pool", "pool options"])
def test_x_alone_guides_itself(implementation, name, rng):
    x = rng.normal(size=(2, 7, 9, 2)).astype("float32")
    layer = layer_of(name)
    np.testing.assert_array_equal(layer(x), layer([x, x]))
    np.testing.assert_array_equal(layer([x]), layer([x, x]))


def test_x_alone_guides_a_transposed_layer_resized(implementation, rng):
    x = rng.normal(size=(2, 7, 9, 2)).astype("float32")
    layer = layer_of("transposed")
    guide = tf.image.resize(x, (14, 18), "bilinear")
    assert_close(layer(x), layer([x, guide]), "float32")


@pytest.mark.parametrize("name", ["conv", "transposed", "pool"])
def test_guide_filters_embed_the_input(implementation, name, rng):
    x = rng.normal(size=(2, 7, 9, 2)).astype("float32")
    layer = layer_of(name, guide_filters=4)
    with tf.GradientTape() as tape:
        y = layer(x)
    embedding = layer.guide_embedding.kernel
    assert embedding.shape == (1, 1, 2, 4)
    gradient = tape.gradient(y, embedding.value)
    assert np.any(gradient)
    plain = layer_of(name)
    guide = x @ embedding.numpy()[0, 0]
    if name == "transposed":
        guide = tf.image.resize(guide, (14, 18), "bilinear")
    plain.build([x.shape, guide.shape])
    if plain.weights:
        plain.set_weights([layer.kernel, layer.bias])
    assert_close(plain([x, guide]), y, "float32")
    again = type(layer).from_config(layer.get_config())
    assert again.guide_filters == 4


@pytest.mark.parametrize("name", ["conv", "conv options", "transposed options", "pool options"])
def test_a_given_k_stands_for_its_guide(implementation, name, rng):
    x, guide = inputs_of(name, rng)
    layer = layer_of(name)
    y = layer([x, guide])
    names = ("strides", "padding", "dilation_rate", "asymmetric")
    options = {key: getattr(layer, key) for key in names}
    if layer.kernel_type == "inverse":
        options.update(kind="inverse", alpha=layer.alpha_weight, exponent=layer.exponent_weight)
    if "transposed" in name:
        options.update(transposed=True, output_padding=layer.output_padding)
        options["smoothing"] = np.full((3, 3), 1 / 9, "float32")
    if name == "conv options":
        options["smoothing"] = np.full((5, 5), 1 / 25, "float32")
    options["channel_wise"] = layer.channel_wise
    options["normalize"] = layer.normalize_kernel
    adapting = ops.adapting_kernel(guide, layer.kernel_size, **options)
    assert_close(layer(x, adapting_kernel=adapting), y, "float32")
    symbolic = layer(keras.KerasTensor(x.shape), adapting_kernel=keras.KerasTensor(adapting.shape))
    assert symbolic.shape == y.shape


@pytest.mark.parametrize("name", LAYERS)
def test_pixels_that_do_not_count_may_hold_anything(implementation, name, rng):
    x, guide = inputs_of(name, rng)
    mask = (rng.random((2, 7, 9, 1)) < 0.6).astype("float32")
    layer = layer_of(name)
    y, output_mask = layer([x, guide], valid_mask=mask)
    other = np.where(mask == 0, np.float32(1e6), x)
    np.testing.assert_array_equal(layer([other, guide], valid_mask=mask)[0], y)
    assert set(np.unique(output_mask)) <= {0.0, 1.0}


def test_a_full_mask_changes_nothing(implementation, rng):
    x, guide = inputs_of("conv strides", rng)
    layer = layer_of("conv strides", normalize_kernel=True)
    y, output_mask = layer([x, guide], valid_mask=np.ones((2, 7, 9, 1), "float32"))
    assert_close(y, layer([x, guide]), "float32")
    np.testing.assert_array_equal(output_mask, np.ones((2, 3, 5, 1)))


# --- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_mixed_precision(implementation, name, policy, rng):
    layer, exact = layer_of(name, dtype=policy), layer_of(name)
    inputs = inputs_of(name, rng)
    dtype = policy.removeprefix("mixed_")
    rounded = [tf.cast(tf.cast(tensor, dtype), "float32") for tensor in inputs]
    expected = exact(rounded)
    layer.build([tensor.shape for tensor in inputs])
    layer.set_weights(exact.get_weights())
    y = layer(inputs)
    assert y.dtype == dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    assert_close(tf.cast(y, "float32"), expected, dtype)


def test_alpha_and_exponent_are_not_rounded_by_the_policy(implementation, rng):
    # Differences of 2**12: float16 would round the exponent 0.4 by 2e-4, and K by 1e-3.
    guide = tf.constant(rng.integers(0, 2, (1, 5, 5, 1)) * 4096, "float32")
    exact = layer_of("conv fixed", normalize_kernel=False)
    layer = layer_of("conv fixed", dtype="mixed_float16")
    x = np.ones((1, 5, 5, 2), "float32")
    expected = exact([x, guide])
    layer.build([x.shape, guide.shape])
    layer.set_weights(exact.get_weights())
    assert_close(tf.cast(layer([x, guide]), "float32"), expected, "float16")


# --- training and saving --------------------------------------------------------------------------


def self_guided():
    """A small network as a beginner would write it."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            PacConv2D(4, 3, padding="same", activation="relu", guide_filters=2),
            PacPool2D(3, strides=2, padding="same", normalize_kernel=True, **INVERSE),
            PacConv2DTranspose(1, 3, strides=2, padding="same", guide_filters=2),
        ]
    )


def test_fit_lowers_the_loss(implementation, rng):
    model = self_guided()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = rng.normal(size=(8, 8, 8, 2)).astype("float32")
    y = keras.ops.average_pool(x.sum(-1, keepdims=True), 3, 1, "same")
    before = model.get_weights()
    history = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


@pytest.mark.parametrize("name", LAYERS)
def test_a_saved_model_gives_the_same(name, rng, tmp_path):
    model = model_of(name, size=(7, 9))
    shaken(model, rng)
    inputs = inputs_of(name, rng)
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), expected)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()


def test_a_saved_sequential_gives_the_same(rng, tmp_path):
    model = self_guided()
    shaken(model, rng)
    x = rng.normal(size=(2, 8, 8, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


@pytest.mark.slow
def test_fit_under_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = self_guided()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = rng.normal(size=(8, 8, 8, 2)).astype("float32")
    y = keras.ops.average_pool(x.sum(-1, keepdims=True), 3, 1, "same")
    losses = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


# --- initializer and features ---------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("strides, kernel_size", [(2, 3), (2, 5), (3, 5), (4, 7), ((2, 3), (5, 7))])
def test_bilinear_initializer_interpolates(implementation, normalize, strides, kernel_size):
    """A ramp comes out as a finer ramp, away from the border."""
    initializer = keras_pac.initializers.BilinearUpsampling(strides, normalized=normalize)
    layer = PacConv2DTranspose(
        2,
        kernel_size,
        strides=strides,
        kernel_initializer=initializer,
        normalize_kernel=normalize,
        dtype="float64",
    )
    rows, columns = layer.strides
    ramp = np.arange(6)[:, None] * 3.0 + np.arange(7) * 5.0
    x = np.stack([ramp, -2 * ramp], axis=-1)[None]
    shape = layer.compute_output_shape(x.shape)
    y = layer([x, np.ones((1, *shape[1:3], 1))])
    # Output o lies at input (o - kernel_size // 2) / strides.
    at = [
        (np.arange(n) - k // 2) / s
        for n, k, s in zip(shape[1:3], layer.kernel_size, layer.strides, strict=True)
    ]
    inner = [(a >= 1) & (a <= n - 2) for a, n in zip(at, (6, 7), strict=True)]
    expected = at[0][inner[0]][:, None] * 3.0 + at[1][inner[1]] * 5.0
    actual = y.numpy()[0][inner[0]][:, inner[1]]
    assert expected.shape == (4 * rows - rows + 1, 5 * columns - columns + 1)
    assert_close(actual, np.stack([expected, -2 * expected], axis=-1), "float64")


@pytest.mark.parametrize("factor", [2, 8])
def test_bilinear_initializer_of_an_even_window_resizes(rng, factor):
    layer = keras.layers.Conv2DTranspose(
        2,
        2 * factor,
        strides=factor,
        padding="same",
        kernel_initializer=keras_pac.initializers.BilinearUpsampling(factor),
    )
    x = rng.standard_normal((1, 5, 6, 2)).astype("float32")
    expected = tf.image.resize(x, (5 * factor, 6 * factor))
    inner = (slice(None), *[slice(factor // 2, -factor // 2)] * 2)  # beside it are zeros
    assert_close(layer(x)[inner], expected[inner], "float32")


def test_position_color_features(rng):
    image = rng.random((2, 3, 4, 3))
    features = ops.position_color_features(image, 2.0, 0.5).numpy()
    for row, column in np.ndindex(3, 4):
        expected = [[row / 2, column / 2, *(color / 0.5)] for color in image[:, row, column]]
        assert_close(features[:, row, column], expected, "float64")
    assert ops.position_color_features(image, 2.0).shape == (2, 3, 4, 2)
    assert_close(ops.position_color_features(image, color_scale=2.0), image / 2, "float64")

"""Ways to call a layer: guided by itself, with a given K, with a mask, in mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import ops
from tests.support.layer_cases import LAYERS, inputs_of, layer_of
from tests.support.runners import to_channels_first
from tests.support.tolerances import assert_close


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


@pytest.mark.parametrize("name", ["conv", "transposed", "pool"])
def test_guide_filters_work_with_channels_first(implementation, name, rng):
    x = rng.normal(size=(2, 7, 9, 2))
    last = layer_of(name, guide_filters=4, dtype="float64")
    first = layer_of(name, guide_filters=4, dtype="float64", data_format="channels_first")
    y = last(x)
    first.build((2, 2, 7, 9))
    first.set_weights(last.get_weights())
    assert_close(first(to_channels_first(x)), to_channels_first(y.numpy()), "float64")


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


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_tells_its_k(implementation, name, guided, masked, rng):
    """With `_adapting_kernel`, for figures: given back to the layer, K has the same result."""
    x, guide = (tf.constant(image) for image in inputs_of(name, rng))
    layer = layer_of(name) if guided else layer_of(name, guide_filters=2)
    inputs = [x, guide] if guided else [x]
    mask = tf.constant(rng.random((2, 7, 9, 1)) < 0.6) if masked else None
    y = layer(inputs, valid_mask=mask)
    y = y[0] if masked else y
    adapting, seen_x, seen_guide, window = layer._adapting_kernel(inputs, valid_mask=mask)
    assert seen_guide.shape[:3] == ((2, *window.output_size) if layer._transposed else (2, 7, 9))
    given = adapting if layer.channel_wise else adapting[..., 0]
    x = tf.where(mask, x, 0) if masked else x
    np.testing.assert_array_equal(seen_x, x)
    plain = layer_of(name)
    plain.build([tuple(x.shape), tuple(guide.shape)])
    plain.set_weights(layer.get_weights()[: len(plain.weights)])
    assert_close(plain(x, adapting_kernel=given), y, "float32")
    again, _, no_guide, _ = plain._adapting_kernel(x, adapting_kernel=given)
    np.testing.assert_array_equal(again, adapting)
    assert no_guide is None


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

"""Hot-swapping: the same predictions at first, on networks of keras.applications too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import PacConv2D
from keras_pac.models import swap_conv2d
from keras_pac.ops.resize import resize_bilinear
from tests.support.tolerances import assert_close


def small_network():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="early")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="strided")(x)
    x = keras.layers.Conv2D(5, (1, 3), dilation_rate=2, name="dilated", use_bias=False)(x)
    return keras.Model(inputs, x)


def images(rng, size=33):
    return rng.random((2, size, size, 3), "float32")


@pytest.mark.parametrize("copy", [False, True])
def test_the_new_model_predicts_as_the_old_one(rng, copy):
    model = small_network()
    new = swap_conv2d(model, ["strided", "dilated"], "early", copy=copy)
    assert [type(new.get_layer(name)) for name in ("strided", "dilated")] == [PacConv2D] * 2
    assert_close(new(images(rng)), model(images(np.random.default_rng(0))), "float32")
    assert (new.get_layer("early") is model.get_layer("early")) is not copy
    assert not any(isinstance(layer, PacConv2D) for layer in model.layers)


def test_a_layer_that_is_called_twice(rng):
    inputs = keras.Input((None, None, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    early = keras.layers.Conv2D(3, 3, name="early")(inputs)
    model = keras.Model(inputs, twice(keras.layers.MaxPooling2D()(twice(early))))
    new = swap_conv2d(model, ["twice"], "early")
    x = images(rng)
    assert_close(new(x), model(x), "float32")


def test_a_large_scale_uses_the_guide(rng):
    model, x = small_network(), images(rng)
    new = swap_conv2d(model, ["strided"], "early", scale=10.0)
    assert np.abs(np.asarray(new(x)) - np.asarray(model(x))).max() > 1e-3


def test_fit_save_reload_export(rng, tmp_path):
    new = swap_conv2d(small_network(), ["strided", "dilated"], "early", scale=1.0)
    x = images(rng)
    new.compile("adam", "mse")
    new.fit(x, np.zeros(new(x).shape), epochs=1, verbose=0)
    expected = new.predict(x, verbose=0)
    new.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict(x, verbose=0), expected, "float32")
    new.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(x), expected, "float32")


def test_a_sequential_model(rng):
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            keras.layers.Conv2D(4, 3, name="a"),
            keras.layers.Conv2D(4, 3, name="b"),
        ]
    )
    x = images(rng, 9)
    swapped = swap_conv2d(model, "b", "a")
    assert not isinstance(swapped.output, list)
    assert_close(swapped(x), model(x), "float32")


@pytest.mark.parametrize("size", [(7, 5), (14, 11), (3, 2), (1, 20)])
def test_resize_bilinear(size, rng):
    image = tf.constant(rng.random((2, 7, 5, 3), "float32"))
    expected = tf.image.resize(image, size)
    assert_close(resize_bilinear(image, size), expected, "float32")
    unknown = tf.function(lambda x, s: resize_bilinear(x, (s[0], s[1])))
    assert_close(unknown(image, tf.constant(size)), expected, "float32")


APPLICATIONS = {
    "VGG16": (["block3_conv3", "block4_conv3", "block5_conv3"], "block2_conv2"),
    "ResNet50": (["conv3_block1_2_conv", "conv4_block1_1_conv"], "conv2_block3_out"),
    "MobileNetV2": (["block_6_expand", "Conv_1"], "block_2_add"),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications(name, rng):
    names, guide = APPLICATIONS[name]
    arguments = {"weights": None, "include_top": False, "input_shape": (64, 64, 3)}
    model = getattr(keras.applications, name)(**arguments)
    new = swap_conv2d(model, names, guide)
    x = images(rng, 64)
    expected = model.predict(x, verbose=0)
    difference = np.abs(new.predict(x, verbose=0) - expected).max()
    assert difference <= 1e-3 * np.abs(expected).max()


def wrong_network():
    inputs = keras.Input((16, 16, 4))
    x = keras.layers.Conv2D(4, 3, groups=2, padding="same", name="grouped")(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.Conv2D(4, 2, name="even")(x)
    nested_inputs = keras.Input((15, 15, 4))
    nested = keras.Model(
        nested_inputs, keras.layers.Conv2D(4, 3, name="deep")(nested_inputs), name="nested"
    )
    x = keras.layers.Conv2D(4, 3, name="fine")(nested(x))
    y = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, y)


def test_every_layer_that_can_not_be_swapped_is_named():
    names = ["grouped", "depthwise", "even", "deep", "missing", "fine"]
    with pytest.raises(ValueError) as error:
        swap_conv2d(wrong_network(), names, "pooled")
    for part in (
        "'grouped' has 2 groups",
        "'depthwise' is a DepthwiseConv2D",
        "'even' has an even kernel size (2, 2)",
        "'deep' is inside the nested model 'nested'",
        "'missing' is no layer of the model",
        "'pooled' has no image",
    ):
        assert part in str(error.value)
    assert "'fine'" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_an_input_as_guide(dtype, rng):
    inputs = keras.Input((9, 8, 3), name="photo", dtype=dtype)
    x = keras.layers.Rescaling(1 / 255)(inputs) + 0.5  # also an operation that is no layer
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(x))
    photo = rng.integers(0, 256, (2, 9, 8, 3)).astype(dtype)
    for copy in (False, True):
        new = swap_conv2d(model, ["conv"], "photo", copy=copy)
        old = np.asarray(model(photo))
        # The distance of two colours is at most 255 * sqrt(3) * 1e-4.
        np.testing.assert_allclose(new(photo), old, atol=2e-3 * np.abs(old).max())
    guided = swap_conv2d(model, ["conv"], "photo", scale=0.01)
    assert np.abs(np.asarray(guided(photo)) - np.asarray(model(photo))).max() > 0.01


@pytest.mark.parametrize(
    "names, guide, options, message",
    [
        (None, "early", {}, "names of layers.*None"),
        ([None], "early", {}, "names of layers.*None"),
        (["dilated", "strided"], "strided", {}, "'strided' is itself one of the layers"),
        (["strided"], "early", {"scale": None}, "`scale` must be a finite number"),
        (["strided"], "early", {"scale": [1.0]}, "`scale` must be a finite number"),
    ],
)
def test_wrong_arguments(names, guide, options, message):
    with pytest.raises(ValueError, match=message):
        swap_conv2d(small_network(), names, guide, **options)


def test_a_layer_with_lora_is_named():
    model = small_network()
    model.get_layer("strided").enable_lora(2)
    with pytest.raises(ValueError, match="'strided' has LoRA enabled"):
        swap_conv2d(model, ["strided"], "early")


def test_a_guide_that_comes_too_late():
    with pytest.raises(ValueError, match="(?s)before.*'dilated'.*'strided'"):
        swap_conv2d(small_network(), ["strided"], "dilated")


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        pass

    with pytest.raises(ValueError, match="(?s)functional.*Own"):
        swap_conv2d(Own(), ["a"], "b")

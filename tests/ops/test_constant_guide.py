"""With a constant guide the functions are Keras's convolutions and average pooling."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import ops
from tests.support.tolerances import assert_close


def constant_guide(batch, size, channels=2):
    """A guide that is the same everywhere, and not zero."""
    return np.broadcast_to(np.linspace(0.5, 1.5, channels), (batch, *size, channels))


def assert_same_as_layer(pac, layer, x, rng):
    """Compare pac(x, kernel, bias) and its gradients with those of Keras's layer."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = layer(x)
    weights = [variable.value for variable in layer.trainable_variables]
    grad_y = rng.normal(size=expected.shape)
    expected_gradients = tape.gradient(expected, [x, *weights], output_gradients=grad_y)
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        y = pac(x, *weights)
    assert_close(y, expected, "float64", "y")
    gradients = tape.gradient(y, [x, *weights], output_gradients=grad_y)
    for name, actual, wanted in zip(
        ("x", "kernel", "bias"), gradients, expected_gradients, strict=True
    ):
        assert_close(actual, wanted, "float64", f"gradient of {name}")


CONVOLUTIONS = [
    # size, kernel_size, strides, dilation_rate, padding
    ((7, 5), 3, 1, 1, "valid"),
    ((7, 5), 3, 1, 1, "same"),
    ((1, 1), 1, 1, 1, "valid"),
    ((1, 1), 3, 1, 1, "same"),
    ((1, 9), (1, 5), 1, 1, "valid"),
    ((13, 11), 5, 1, 1, "same"),
    ((13, 11), (3, 5), 2, 1, "same"),
    ((12, 10), 3, 2, 1, "same"),
    ((13, 11), 3, (2, 3), 1, "valid"),
    ((5, 7), 1, 3, 1, "same"),
    ((4, 6), 3, 5, 1, "same"),
    ((13, 11), 3, 1, 2, "same"),
    ((17, 13), 5, 1, (2, 3), "valid"),
    ((5, 3), 7, 1, 2, "same"),
]


@pytest.mark.parametrize("size, kernel_size, strides, dilation_rate, padding", CONVOLUTIONS)
def test_a_constant_guide_gives_conv2d(
    implementation, rng, size, kernel_size, strides, dilation_rate, padding
):
    layer = keras.layers.Conv2D(
        3,
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        bias_initializer="random_normal",
        dtype="float64",
    )
    geometry = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}

    def pac(x, *weights):
        adapting = ops.adapting_kernel(constant_guide(2, size), kernel_size, **geometry)
        return ops.pac_conv2d(x, adapting, *weights, **geometry)

    assert_same_as_layer(pac, layer, rng.normal(size=(2, *size, 2)), rng)


def test_a_constant_guide_with_strides_and_dilation_skips_pixels_of_conv2d(implementation, rng):
    # Keras's layer refuses the two together: every second pixel of the one with strides 1.
    x = rng.normal(size=(2, 13, 11, 2))
    layer = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="valid", dtype="float64")
    expected = layer(x)[:, ::2, ::3]
    geometry = {"strides": (2, 3), "padding": "valid", "dilation_rate": 2}
    adapting = ops.adapting_kernel(constant_guide(2, (13, 11)), 3, **geometry)
    y = ops.pac_conv2d(x, adapting, layer.kernel, **geometry)
    assert_close(y, expected, "float64")


@pytest.mark.parametrize("padding", [1, (1, 0), ((0, 1), (1, 1))])
def test_explicit_padding_is_zero_padding(implementation, rng, padding):
    x = rng.normal(size=(2, 7, 5, 2))
    layer = keras.layers.Conv2D(3, 3, strides=2, padding="valid", dtype="float64")
    expected = layer(keras.layers.ZeroPadding2D(padding, dtype="float64")(x))
    geometry = {"strides": 2, "padding": padding}
    adapting = ops.adapting_kernel(constant_guide(2, (7, 5)), 3, **geometry)
    y = ops.pac_conv2d(x, adapting, layer.kernel, layer.bias, **geometry)
    assert_close(y, expected, "float64")


TRANSPOSED = [
    # size, kernel_size, strides, padding, output_padding
    ((5, 6), 3, 2, "same", None),
    ((5, 6), 5, 2, "same", None),
    ((5, 6), 5, 2, "valid", None),
    ((5, 6), 3, 1, "same", None),
    ((7, 3), 3, (2, 3), "valid", None),
    ((4, 5), 1, 3, "same", None),
    ((4, 5), 1, 3, "valid", None),
    ((2, 3), 3, 5, "valid", None),
    ((2, 3), 3, 5, "same", None),
    ((1, 1), 3, 2, "same", None),
    ((1, 1), 5, 4, "valid", None),
    ((3, 4), 7, 4, "same", None),
    ((3, 4), (3, 5), 3, "same", (1, 2)),
    ((3, 4), 5, 3, "same", 1),
    ((3, 4), 5, 3, "valid", 2),
]


@pytest.mark.parametrize("size, kernel_size, strides, padding, output_padding", TRANSPOSED)
def test_a_constant_guide_gives_conv2d_transpose(
    implementation, rng, size, kernel_size, strides, padding, output_padding
):
    layer = keras.layers.Conv2DTranspose(
        3,
        kernel_size,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        bias_initializer="random_normal",
        dtype="float64",
    )
    geometry = {"strides": strides, "padding": padding, "output_padding": output_padding}
    guide_size = layer.compute_output_shape((2, *size, 2))[1:3]

    def pac(x, *weights):
        guide = constant_guide(2, guide_size)
        adapting = ops.adapting_kernel(guide, kernel_size, transposed=True, **geometry)
        return ops.pac_conv2d_transpose(x, adapting, *weights, **geometry)

    assert_same_as_layer(pac, layer, rng.normal(size=(2, *size, 2)), rng)


def test_a_constant_guide_with_dilation_gives_conv2d_of_stuffed_zeros(implementation, rng):
    # TensorFlow has no dilated transposed convolution on a CPU: the zeros are put in by hand.
    x = rng.normal(size=(2, 4, 5, 2))
    stuffed = np.zeros((2, 7 + 8, 9 + 8, 2))
    stuffed[:, 4:-4:2, 4:-4:2] = x
    layer = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="valid", dtype="float64")
    expected = layer(stuffed)
    kernel = tf.transpose(layer.kernel[::-1, ::-1], (0, 1, 3, 2))
    geometry = {"strides": 2, "padding": "valid", "dilation_rate": 2}
    guide = constant_guide(2, expected.shape[1:3])
    adapting = ops.adapting_kernel(guide, 3, transposed=True, **geometry)
    y = ops.pac_conv2d_transpose(x, adapting, kernel, **geometry)
    assert_close(y, expected, "float64")


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (12, 10), (13, 11)])
@pytest.mark.parametrize("kernel_size, strides", [(3, 1), ((5, 3), 2), (3, (2, 3)), (1, 2)])
def test_a_constant_guide_pools_averages(implementation, rng, size, kernel_size, strides):
    x = rng.normal(size=(2, *size, 3))
    geometry = {"strides": strides, "padding": "same"}
    expected = keras.layers.AveragePooling2D(kernel_size, dtype="float64", **geometry)(x)
    adapting = ops.adapting_kernel(constant_guide(2, size), kernel_size, normalize=True, **geometry)
    assert_close(ops.pac_pool2d(x, adapting, kernel_size, **geometry), expected, "float64")

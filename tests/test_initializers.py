"""The bilinear initializer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac import PacConv2DTranspose
from tests.support.cases import load_golden
from tests.support.tolerances import assert_close


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


@pytest.mark.parametrize("name", ["convt_linear_init", "convt_linear_init_normalized"])
def test_bilinear_initializer(name):
    case = load_golden(name)
    initializer = keras_pac.initializers.BilinearUpsampling(
        case.geometry["strides"], normalized=case.options["normalize"]
    )
    kernel = initializer(case.arrays["kernel"].shape, "float64")
    assert_close(kernel, case.arrays["kernel"], "float64", "kernel")
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(again(kernel.shape, "float64"), kernel)

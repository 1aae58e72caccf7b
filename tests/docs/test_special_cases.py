"""What "What PAC contains" in the documentation says: other filters are cases of PAC.

Everything is in float64, so only rounding may differ: sums of at most 25 taps times 4 channels, of
values near 1, stay within some 100 roundings of 2**-53. scikit-image's bilateral filter takes its
weights of colours from a table, whose steps bound the difference; see `error_of_bins`.
"""

import keras
import numpy as np
import pytest
from skimage.restoration import denoise_bilateral

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D

ROUNDING = 1e-13
SEEDS = range(3)
SIZES = [(13, 17), (9, 21)]


@pytest.fixture(autouse=True)
def in_float64():
    keras.config.set_dtype_policy("float64")


def constant_guide(size):
    return np.full((1, *size, 3), 0.7)


def assert_same(actual, expected, tolerance=ROUNDING):
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    assert np.abs(actual - np.asarray(expected)).max() <= tolerance


def with_weights_of(plain, pac, x, guide):
    """What both layers make of x, with the same weights."""
    expected = plain(x)
    pac.build([x.shape, guide.shape])
    pac.set_weights(plain.get_weights())
    return pac([x, guide]), expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_convolution(seed, size, options):
    x = np.random.default_rng(seed).normal(size=(1, *size, 4))
    plain = keras.layers.Conv2D(3, 5, bias_initializer="normal", **options)
    assert_same(*with_weights_of(plain, PacConv2D(3, 5, **options), x, constant_guide(size)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_transposed_convolution(seed, strides):
    x = np.random.default_rng(seed).normal(size=(1, 7, 9, 4))
    options = {"strides": strides, "padding": "same"}
    plain = keras.layers.Conv2DTranspose(3, 5, bias_initializer="normal", **options)
    guide = constant_guide((7 * strides, 9 * strides))
    assert_same(*with_weights_of(plain, PacConv2DTranspose(3, 5, **options), x, guide))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_average_pooling(seed, size, padding, strides):
    x = np.random.default_rng(seed).normal(size=(1, *size, 4))
    options = {"strides": strides, "padding": padding}
    pac = PacPool2D(3, normalize_kernel=True, **options)
    plain = keras.layers.AveragePooling2D(3, **options)
    assert_same(pac([x, constant_guide(size)]), plain(x))


def bilateral_by_definition(image, window, sigma_space, sigma_color):
    """The weighted mean over the part of each window that is inside the image."""
    half, result = window // 2, np.empty_like(image)
    pixels = np.argwhere(np.ones(image.shape[:2]))
    for row, column in pixels:
        near = pixels[np.abs(pixels - (row, column)).max(axis=1) <= half]
        x = image[near[:, 0], near[:, 1]]
        exponent = np.sum((near - (row, column)) ** 2, axis=1) / sigma_space**2
        exponent = exponent + np.sum((x - image[row, column]) ** 2, axis=1) / sigma_color**2
        weights = np.exp(-exponent / 2)[:, None]
        result[row, column] = np.sum(weights * x, axis=0) / np.sum(weights)
    return result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_bilateral_filter(seed, size, channels):
    x = np.random.default_rng(seed).uniform(size=(1, *size, channels))
    features = keras_pac.ops.position_color_features(x, 1.5, 0.3)
    pac = PacPool2D(5, padding="same", normalize_kernel=True)
    assert_same(pac([x, features])[0], bilateral_by_definition(x[0], 5, 1.5, 0.3))


def spatial_weights(window, sigma_space):
    """scikit-image's weights of the window, as they are: its response to one bright pixel."""
    dot = np.zeros((2 * window + 1, 2 * window + 1))
    dot[window, window] = 1
    response = denoise_bilateral(
        dot, win_size=window, sigma_color=np.inf, sigma_spatial=sigma_space, mode="edge"
    )
    inside = slice(window - window // 2, window + window // 2 + 1)
    return response[inside, inside][::-1, ::-1]


def error_of_bins(x, sigma_color, bins):
    """How far the table of colour weights may move a result.

    A distance d of C channels is looked up as d / C, rounded down to a multiple of max / bins. The
    weight exp(-(d / C)^2 / (2 sigma^2)) then grows by a factor of at most exp(e), with
    e = d / C * max / bins / sigma^2. A weighted mean of values in [0, max] moves by at most
    (exp(e) - 1) max. d is at most sqrt(C) max.
    """
    channels, largest = x.shape[-1], x.max()
    e = largest / np.sqrt(channels) * largest / bins / sigma_color**2
    return np.expm1(e) * largest


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["edge", "symmetric", "constant"])
@pytest.mark.parametrize("sigma_space", [np.inf, 1.5])
def test_bilateral_filter_of_scikit_image(seed, size, channels, mode, sigma_space):
    window, sigma_color, bins = 5, 0.2, 10**7
    x = np.random.default_rng(seed).uniform(size=(1, *size, channels))
    image = x[0] if channels > 1 else x[0, :, :, 0]
    expected = denoise_bilateral(
        image,
        win_size=window,
        sigma_color=sigma_color,
        sigma_spatial=sigma_space,
        bins=bins,
        mode=mode,
        channel_axis=-1 if channels > 1 else None,
    )

    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode)
    K = keras_pac.ops.adapting_kernel(padded / (channels * sigma_color), window)
    W = spatial_weights(window, sigma_space)[:, :, None, None]
    above = keras_pac.ops.pac_conv2d(padded, K, W)
    below = keras_pac.ops.pac_conv2d(np.ones_like(padded), K, W)
    y = np.reshape(above / below, expected.shape)
    assert_same(y, expected, ROUNDING + error_of_bins(x, sigma_color, bins))
    if sigma_space == np.inf:
        pool = PacPool2D(window, normalize_kernel=True)
        assert_same(pool([padded, padded / (channels * sigma_color)]), above / below)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor, window", [(2, 3), (2, 7), (3, 5), (4, 9)])
def test_joint_bilateral_upsampling(seed, factor, window):
    rng = np.random.default_rng(seed)
    low = rng.uniform(size=(1, 5, 7, 2))
    picture = rng.uniform(size=(1, 5 * factor, 7 * factor, 3))
    scale_space, scale_color = 0.4, 2.0
    features = keras_pac.ops.position_color_features(picture, 1 / scale_space, 1 / scale_color)
    pac = PacConv2DTranspose(
        filters=2,
        kernel_size=window,
        strides=factor,
        padding=1 + (window - factor - 1) // 2,
        output_padding=(window - factor) % 2,
        shared_filters=True,
        kernel_initializer="ones",
        use_bias=False,
        normalize_kernel=True,
    )
    sharp = pac([low, features])

    expected = np.empty((5 * factor, 7 * factor, 2))
    samples = np.argwhere(np.ones((5, 7)))
    at = factor * samples + (factor - 1) // 2  # where they lie in the picture
    for pixel in np.ndindex(expected.shape[:2]):
        near = np.abs(at - pixel).max(axis=1) <= window // 2
        positions, (rows, columns) = at[near], samples[near].T
        exponent = scale_space**2 * np.sum((positions - pixel) ** 2, axis=1)
        colours = picture[0, positions[:, 0], positions[:, 1]]
        exponent += scale_color**2 * np.sum((colours - picture[0][pixel]) ** 2, axis=1)
        weights = np.exp(-exponent / 2)[:, None]
        expected[pixel] = np.sum(weights * low[0, rows, columns], axis=0) / np.sum(weights)
    assert_same(sharp[0], expected)
    model = keras_pac.models.JointBilateralUpsample(factor, window, scale_space, scale_color)
    assert_same(model([low, picture])[0], expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("smoothing", ["average", "learned"])
def test_detail_preserving_pooling(seed, size, asymmetric, smoothing):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, *size, 3))
    pac = PacPool2D(
        3,
        strides=2,
        kernel_type="inverse",
        alpha=0.0,
        exponent=0.0,
        channel_wise=True,
        smoothing=(smoothing, 3),
        asymmetric=asymmetric,
        normalize_kernel=True,
    )
    pac.build([x.shape, x.shape])
    alpha, exponent = rng.uniform(0.1, 2, (2, 3))
    pac.alpha_weight.assign(alpha)
    pac.exponent_weight.assign(exponent)
    filter = np.full((3, 3), 1 / 9)
    if smoothing == "learned":
        filter = rng.uniform(size=(3, 3))
        pac.smoothing_weight.assign(filter)

    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(0, 1))[::2, ::2]
    d = windows - np.sum(filter * windows, axis=(-2, -1), keepdims=True)
    d = np.maximum(d, 0) if asymmetric else d
    weights = np.sqrt(d**2 + 0.01**2) ** exponent[:, None, None] + alpha[:, None, None]
    expected = np.sum(weights * windows, axis=(-2, -1)) / np.sum(weights, axis=(-2, -1))
    assert_same(pac(x)[0], expected)

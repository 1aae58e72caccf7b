"""Pixel-adaptive convolution."""

import math

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops.layout import image_last, image_to, kernel_last
from keras_pac.ops.symbolic import accepts_keras_tensors
from keras_pac.ops.window import convolution_window
from keras_pac.ops.windowed_sum import windowed_sum


@accepts_keras_tensors
def pac_conv2d(
    x,
    adapting_kernel,
    kernel,
    bias=None,
    *,
    strides=1,
    padding="valid",
    dilation_rate=1,
    data_format=None,
):
    """Convolve with a filter that the adapting kernel multiplies pixel by pixel.

    `y_i = bias + sum_j K(i, j) * kernel[p_i - p_j] * x_j`, over the window of output pixel i.
    A pixel outside the image contributes nothing.

    Args:
        x: (B, H, W, Cin) of floating-point type.
        adapting_kernel: (B, OH, OW, kh * kw), see `keras_pac.ops.adapting_kernel`.
        kernel: (kh, kw, Cin, Cout) with odd kh and kw, or (kh, kw, 1, 1): one filter that all
            channels share, each channel by itself.
        bias: None or (Cout,).
        strides: int or pair of ints, (rows, columns).
        padding: "valid", "same", int, (rows, columns) or ((top, bottom), (left, right)).
        dilation_rate: int or pair of ints.
        data_format: "channels_last" or "channels_first"; None means Keras's default.

    Returns:
        (B, OH, OW, Cout), or (B, Cout, OH, OW) with channels_first, of the type of x.

    Raises:
        ValueError: for arguments or shapes that break a rule above.

    Example:

    >>> x = keras.random.normal((1, 6, 6, 2))
    >>> K = keras_pac.ops.adapting_kernel(x, 3)
    >>> keras_pac.ops.pac_conv2d(x, K, keras.ops.ones((3, 3, 2, 5))).shape
    TensorShape([1, 4, 4, 5])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3,
        equation 3 (arXiv 1904.05373).
    """
    data_format = checks.data_format(data_format)
    x, kernel = checks.float_tensor("x", x), checks.float_tensor("kernel", kernel)
    checks.rank("x", x.shape, 4)
    x = image_last(x, data_format)
    shared = checks.filters(kernel.shape, x.shape[-1])
    window = convolution_window(
        ops.shape(x)[1:3],
        tuple(kernel.shape[:2]),
        checks.pair("strides", strides),
        checks.padding(padding),
        checks.pair("dilation_rate", dilation_rate),
    )
    adapting_kernel = check_adapting_kernel(adapting_kernel, x, window, data_format)
    bias = check_bias(bias, x.shape[-1] if shared else kernel.shape[3])
    return image_to(windowed_sum(x, adapting_kernel, kernel, window, bias), data_format)


def check_adapting_kernel(adapting_kernel, x, window, data_format, channels=None):
    """A given K as a checked (B, OH, OW, T, 1 or C) tensor; `channels` allows one a channel."""
    adapting_kernel = checks.float_tensor("adapting_kernel", adapting_kernel)
    checks.output_size(window.output_size, window.input_size)
    sizes = [size if isinstance(size, int) else None for size in window.output_size]
    expected = (x.shape[0], *sizes, math.prod(window.kernel_size))
    rank = len(adapting_kernel.shape)
    if channels is not None and rank == 5:
        expected = (*expected, channels)
    checks.adapting_kernel(adapting_kernel.shape, expected, data_format)
    adapting_kernel = kernel_last(adapting_kernel, data_format)
    return adapting_kernel if rank == 5 else adapting_kernel[..., None]


def check_bias(bias, channels):
    if bias is None:
        return None
    bias = checks.float_tensor("bias", bias)
    checks.bias(bias.shape, channels)
    return bias

"""Pixel-adaptive convolution."""

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops._geometry.layout import image_last, image_to
from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import current
from keras_pac.ops.symbolic import accepts_keras_tensors


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
    """Convolve with a filter that is multiplied, pixel by pixel, with the adapting kernel.

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
    x, filter = checks.float_tensor("x", x), checks.float_tensor("kernel", kernel)
    checks.rank("x", x.shape, 4)
    x = image_last(x, data_format)
    shared = checks.filters(filter.shape, x.shape[-1])
    window = convolution_window(
        ops.shape(x)[1:3],
        tuple(filter.shape[:2]),
        checks.pair("strides", strides),
        checks.padding(padding),
        checks.pair("dilation_rate", dilation_rate),
    )
    adapting = checks.adapting_tensor(adapting_kernel, x, window, data_format)
    bias = checks.bias(bias, x.shape[-1] if shared else filter.shape[3])
    return image_to(current().windowed_sum(x, adapting, filter, window, bias), data_format)

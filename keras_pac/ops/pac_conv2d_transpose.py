"""Pixel-adaptive transposed convolution."""

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops._geometry.layout import image_last, image_to, mirrored
from keras_pac.ops._geometry.window import transposed_window
from keras_pac.ops._implementations import current
from keras_pac.ops.symbolic import accepts_keras_tensors


@accepts_keras_tensors
def pac_conv2d_transpose(
    x,
    adapting_kernel,
    kernel,
    bias=None,
    *,
    strides=1,
    padding="valid",
    output_padding=None,
    dilation_rate=1,
    data_format=None,
):
    """Upsample with a filter that is multiplied, pixel by pixel, with the adapting kernel.

    The result is that of `pac_conv2d` with the mirrored filter, after `strides - 1` zeros are
    inserted between the pixels of x. No time is spent on the zeros.
    Where K is 1 this is `keras.ops.conv_transpose`.

    Args:
        x: (B, H, W, Cin) of floating-point type.
        adapting_kernel: (B, OH, OW, kh * kw), see `keras_pac.ops.adapting_kernel` with
            `transposed=True`.
        kernel: (kh, kw, Cout, Cin) with odd kh and kw, or (kh, kw, 1, 1): one filter that all
            channels share, each channel by itself.
        bias: None or (Cout,).
        strides: int or pair of ints, the factor of upsampling (rows, columns).
        padding: "valid" or "same", with the output size of `keras.layers.Conv2DTranspose`; or
            int p, (rows, columns) or ((top, bottom), (left, right)), cropped from the full
            output: OH = (H - 1) * strides - 2 p + dilation_rate * (kh - 1) + 1 + output_padding.
        output_padding: None, int or pair of ints smaller than `strides`.
        dilation_rate: int or pair of ints.
        data_format: "channels_last" or "channels_first"; None means Keras's default.

    Returns:
        (B, OH, OW, Cout), or (B, Cout, OH, OW) with channels_first, of the type of x.

    Raises:
        ValueError: for arguments or shapes that break a rule above.

    Example:
        >>> x, guide = keras.random.normal((1, 4, 4, 2)), keras.random.normal((1, 8, 8, 3))
        >>> options = dict(strides=2, padding="same")
        >>> K = keras_pac.ops.adapting_kernel(guide, 3, transposed=True, **options)
        >>> kernel = keras.ops.ones((3, 3, 5, 2))
        >>> keras_pac.ops.pac_conv2d_transpose(x, K, kernel, **options).shape
        TensorShape([1, 8, 8, 5])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.1
        (arXiv 1904.05373).
    """
    data_format = checks.data_format(data_format)
    x, filter = checks.float_tensor("x", x), checks.float_tensor("kernel", kernel)
    checks.rank("x", x.shape, 4)
    x = image_last(x, data_format)
    shared = checks.filters(filter.shape, x.shape[-1], transposed=True)
    strides = checks.pair("strides", strides)
    window = transposed_window(
        ops.shape(x)[1:3],
        tuple(filter.shape[:2]),
        strides,
        checks.padding(padding),
        checks.output_padding(output_padding, strides),
        checks.pair("dilation_rate", dilation_rate),
    )
    adapting = checks.adapting_tensor(adapting_kernel, x, window, data_format)
    bias = checks.bias(bias, x.shape[-1] if shared else filter.shape[2])
    y = current().windowed_sum(x, adapting, mirrored(filter), window, bias)
    return image_to(y, data_format)

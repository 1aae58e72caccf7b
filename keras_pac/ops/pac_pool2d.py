"""Pixel-adaptive pooling."""

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops._geometry.layout import image_last, image_to
from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import current
from keras_pac.ops.symbolic import accepts_keras_tensors


@accepts_keras_tensors
def pac_pool2d(
    x,
    adapting_kernel,
    kernel_size,
    *,
    strides=1,
    padding="valid",
    dilation_rate=1,
    data_format=None,
):
    """Sum every channel over a window, each pixel weighted by the adapting kernel.

    `y_i = sum_j K(i, j) * x_j`. A pixel outside the image contributes nothing.

    Args:
        x: (B, H, W, C) of floating-point type.
        adapting_kernel: (B, OH, OW, kh * kw), or (B, OH, OW, kh * kw, C) for one K per channel;
            see `keras_pac.ops.adapting_kernel`.
        kernel_size: odd int or pair of odd ints, (rows, columns).
        strides: int or pair of ints.
        padding: "valid", "same", int, (rows, columns) or ((top, bottom), (left, right)).
        dilation_rate: int or pair of ints.
        data_format: "channels_last" or "channels_first"; None means Keras's default.

    Returns:
        (B, OH, OW, C), or (B, C, OH, OW) with channels_first, of the type of x.

    Raises:
        ValueError: for arguments or shapes that break a rule above.

    Example:
        >>> x = keras.random.normal((1, 6, 6, 2))
        >>> K = keras_pac.ops.adapting_kernel(x, 3, strides=2, normalize=True)
        >>> keras_pac.ops.pac_pool2d(x, K, 3, strides=2).shape
        TensorShape([1, 2, 2, 2])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3
        (arXiv 1904.05373).
    """
    data_format = checks.data_format(data_format)
    x = checks.float_tensor("x", x)
    checks.rank("x", x.shape, 4)
    x = image_last(x, data_format)
    window = convolution_window(
        ops.shape(x)[1:3],
        checks.kernel_size(kernel_size),
        checks.pair("strides", strides),
        checks.padding(padding),
        checks.pair("dilation_rate", dilation_rate),
    )
    adapting = checks.adapting_tensor(adapting_kernel, x, window, data_format, x.shape[-1])
    return image_to(current().windowed_sum(x, adapting, None, window), data_format)

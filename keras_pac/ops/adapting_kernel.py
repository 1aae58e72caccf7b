"""The adapting kernel K: how much each pixel of a window counts, from the guide."""

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops._geometry.layout import adapting_to, image_last, image_to
from keras_pac.ops._geometry.window import convolution_window, transposed_window
from keras_pac.ops._implementations import current
from keras_pac.ops._implementations.kernel_form import KernelForm
from keras_pac.ops.symbolic import accepts_keras_tensors


@accepts_keras_tensors
def adapting_kernel(
    guide,
    kernel_size,
    *,
    strides=1,
    padding="valid",
    dilation_rate=1,
    output_padding=None,
    transposed=False,
    kind="gaussian",
    alpha=None,
    exponent=None,
    asymmetric=False,
    smoothing=None,
    channel_wise=False,
    normalize=False,
    valid_mask=None,
    data_format=None,
):
    """Compute the adapting kernel K(f_i, f_j) for every output pixel i and tap j.

    With d_j = f_j - c_i (c_i = f_i, or the guide smoothed at i):

    - gaussian: `K = exp(-1/2 * sum_channels d_j^2)`
    - inverse: `K = alpha + (sum_channels d_j^2 + 1e-4)^(exponent / 2)`

    A pixel outside the guide has the features 0. Distances, powers and sums are computed in
    float32 (float64 for a float64 guide).

    Args:
        guide: (B, H, W, G) features of floating-point type. For a transposed convolution the
            size is that of the **output**.
        kernel_size: odd int or pair of odd ints, (rows, columns).
        strides: int or pair; the upsampling factor if `transposed`.
        padding: "valid", "same", int, (rows, columns) or ((top, bottom), (left, right)).
        dilation_rate: int or pair.
        output_padding: None, int or pair; only if `transposed`.
        transposed: bool, whether K is for `pac_conv2d_transpose`.
        kind: "gaussian" or "inverse".
        alpha: scalar, or (G,) if `channel_wise`; at least 0. Only for "inverse".
        exponent: scalar, or (G,) if `channel_wise`; at least 0. Only for "inverse".
        asymmetric: bool, use max(d_j, 0) for d_j.
        smoothing: None, or an (n, n) filter, n odd, that smooths the guide at the centre pixel
            (zero-padded at the border).
        channel_wise: bool, leave out the sum over channels: one K for each channel, for pooling.
        normalize: bool, divide K by its sum over the taps that hit a real and valid input pixel;
            the other taps become 0, and a zero sum gives 0.
        valid_mask: None or (B, H, W, 1), at the size of the **input**: 1 where an input pixel
            counts, else 0. Without `normalize`, K of valid taps is divided by the valid
            fraction of the window.
        data_format: "channels_last" or "channels_first"; None means Keras's default.

    Returns:
        K of shape (B, OH, OW, kh * kw), taps in row-major order, or (B, OH, OW, kh * kw, G) if
        `channel_wise`; with channels_first (B, kh * kw, OH, OW) or (B, kh * kw, G, OH, OW). With
        a `valid_mask`, the pair (K, output_mask); output_mask is (B, OH, OW, 1): 1 where at
        least one valid pixel was seen.

    Raises:
        ValueError: for arguments or shapes that break a rule above.

    Example:
        >>> guide = keras.ops.zeros((1, 4, 4, 3))
        >>> keras_pac.ops.adapting_kernel(guide, 3, padding="same").shape
        TensorShape([1, 4, 4, 9])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3,
        equations 3 and 4 (arXiv 1904.05373).
    """
    data_format = checks.data_format(data_format)
    guide = checks.float_tensor("guide", guide)
    checks.rank("guide", guide.shape, 4)
    guide = image_last(guide, data_format)
    kernel_size = checks.kernel_size(kernel_size)
    strides = checks.pair("strides", strides)
    dilation_rate = checks.pair("dilation_rate", dilation_rate)
    padding = checks.padding(padding)
    checks.boolean("transposed", transposed)
    output_padding = checks.output_padding(output_padding, strides, transposed)
    checks.boolean("asymmetric", asymmetric)
    checks.boolean("channel_wise", channel_wise)
    checks.boolean("normalize", normalize)
    shapes = ((), (guide.shape[-1],)) if channel_wise else ((),)
    checks.adapting_kernel_options(kind, alpha, exponent, shapes)
    if smoothing is not None:
        smoothing = checks.float_tensor("smoothing", smoothing)
        checks.smoothing(smoothing.shape)
    size = ops.shape(guide)[1:3]
    if transposed:
        geometry = kernel_size, strides, padding, output_padding, dilation_rate
        smallest = transposed_window((1, 1), *geometry).output_size
        checks.guide_of_transposed(size, strides, smallest)
        input_size = tuple((n - m) // s + 1 for n, m, s in zip(size, smallest, strides))
        window = transposed_window(input_size, *geometry)
    else:
        window = convolution_window(size, kernel_size, strides, padding, dilation_rate)
    checks.output_size(window.output_size, size)
    if valid_mask is not None:
        if not hasattr(valid_mask, "dtype"):
            valid_mask = ops.convert_to_tensor(valid_mask)
        checks.valid_mask(valid_mask, (guide.shape[0], *window.input_size), data_format)
        valid_mask = image_last(ops.convert_to_tensor(valid_mask), data_format)
    elif transposed and not normalize:
        # Taps on inserted zeros have a K here, too, so the window is one of stride 1.
        half = tuple((d * (k // 2),) * 2 for d, k in zip(dilation_rate, kernel_size))
        window = convolution_window(size, kernel_size, (1, 1), half, dilation_rate)
    form = KernelForm(
        kind=kind,
        alpha=alpha,
        exponent=exponent,
        asymmetric=asymmetric,
        smoothing=smoothing,
        channel_wise=channel_wise,
        normalize=normalize,
    )
    adapting, output_mask = current().adapting_kernel(guide, window, form, valid_mask)
    adapting = ops.cast(adapting, guide.dtype)
    adapting = adapting_to(adapting if channel_wise else adapting[..., 0], data_format)
    if valid_mask is None:
        return adapting
    return adapting, image_to(ops.cast(output_mask, guide.dtype), data_format)

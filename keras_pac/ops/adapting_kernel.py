"""The adapting kernel K: how much each pixel of a window counts, from the guide."""

import math

import keras
from keras import ops

from keras_pac.ops import checks, implementation
from keras_pac.ops.blocks import Gather, by_rows, to_image
from keras_pac.ops.layout import image_last, image_to, kernel_to
from keras_pac.ops.symbolic import accepts_keras_tensors
from keras_pac.ops.window import (
    convolution_window,
    interleave,
    slice_tap,
    split,
    transposed_input_size,
    transposed_window,
)

# Keeps the slope of the inverse kernel finite where two features are equal.
INVERSE_EPSILON = 1e-4


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
        channel_wise: bool, leave out the sum over channels: one K a channel, for pooling.
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
    if output_padding is not None and not transposed:
        raise ValueError(
            "`output_padding` belongs to a transposed convolution. Received: "
            f"output_padding={output_padding!r}, transposed=False"
        )
    output_padding = checks.output_padding(output_padding, strides)
    checks.boolean("transposed", transposed)
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
        window = transposed_window(transposed_input_size(size, *geometry), *geometry)
    else:
        window = convolution_window(size, kernel_size, strides, padding, dilation_rate)
    checks.output_size(window.output_size, size)
    if valid_mask is not None:
        if not hasattr(valid_mask, "dtype"):
            valid_mask = ops.convert_to_tensor(valid_mask)
        checks.valid_mask(valid_mask, (guide.shape[0], *window.input_size), data_format)
        valid_mask = image_last(ops.convert_to_tensor(valid_mask), data_format)
    elif transposed and not normalize:
        # Here the taps that meet an inserted zero have a K too: that of a stride-1 window.
        half = tuple((d * (k // 2),) * 2 for d, k in zip(dilation_rate, kernel_size))
        window = convolution_window(size, kernel_size, (1, 1), half, dilation_rate)
    kernel, output_mask = whole_kernel(
        guide,
        window,
        valid_mask,
        kind=kind,
        alpha=alpha,
        exponent=exponent,
        asymmetric=asymmetric,
        smoothing=smoothing,
        channel_wise=channel_wise,
        normalize=normalize,
    )
    kernel = ops.cast(kernel, guide.dtype)
    kernel = kernel_to(kernel if channel_wise else kernel[..., 0], data_format)
    if valid_mask is None:
        return kernel
    return kernel, image_to(ops.cast(output_mask, guide.dtype), data_format)


def whole_kernel(guide, window, valid_mask=None, *, smoothing, **options):
    """The adapting kernel of a window; arguments as for `kernel_phases`.

    Returns:
        ((B, OH, OW, kh * kw, 1 or G), output mask (B, OH, OW, 1) or None).
    """
    if compiled := implementation.compiled():
        center = smoothed(guide, smoothing)
        return compiled.adapting_kernel(guide, center, window, valid_mask, **options)
    options["smoothing"] = smoothing
    kernels, output_mask = kernel_phases(guide, window, valid_mask, **options)
    return join_phases(kernels, window), output_mask


def kernel_phases(
    guide,
    window,
    valid_mask=None,
    *,
    kind,
    alpha,
    exponent,
    asymmetric,
    smoothing,
    channel_wise,
    normalize,
):
    """The adapting kernel of each phase of a window; see `adapting_kernel` for the options.

    Args:
        guide: (B, H, W, G).
        window: `window.Window`.
        valid_mask: None or (B, H, W, 1), of the input.

    Returns:
        ([(B, M, N, T, 1 or G) or None for a phase without taps], output mask (B, OH, OW, 1) or
        None), in float32 or float64.
    """
    if keras.backend.standardize_dtype(guide.dtype) in ("float16", "bfloat16"):
        guide = ops.cast(guide, "float32")
    dtype = guide.dtype
    centers = [None]
    if smoothing is not None:
        center = smoothed(guide, smoothing)
        centers = split(window.pad(center), window.phase_counts, window.grid)
    guides = split(window.pad(guide), window.phase_counts, window.grid)
    if smoothing is None and len(guides) > 1:
        centers = guides
    if normalize or valid_mask is not None:
        inside = window.pad(ops.ones((1, *window.input_size, 1), dtype))
        valid = None if valid_mask is None else window.pad(ops.cast(valid_mask, dtype))
    kernels, masks = [], []
    for phase, center in zip(window.phases(), centers):
        if not phase.tap_indices:
            kernels.append(None)
            masks.append(None)
            continue
        if center is not None and len(guides) == 1:
            center = slice_tap(center, phase.guide_taps.middle)
        kernel = implementation.module().squared_differences(
            guides[window.guide_phase], center, phase.guide_taps, asymmetric, channel_wise
        )
        if kind == "gaussian":
            kernel = ops.exp(-0.5 * kernel)
        else:
            exponent = ops.convert_to_tensor(exponent, dtype)
            kernel = ops.convert_to_tensor(alpha, dtype) + ops.power(
                kernel + INVERSE_EPSILON, exponent / 2
            )
        if normalize or valid_mask is not None:
            in_image = _windows(inside, phase.input_taps)
            counted = in_image
            if valid_mask is not None:
                counted = _windows(valid, phase.input_taps)
            kernel, mask = _divide_by_sum(kernel * counted, counted, in_image, normalize)
            masks.append(mask)
        kernels.append(kernel)
    if valid_mask is None:
        return kernels, None
    example = next(mask for mask in masks if mask is not None)
    masks = [ops.zeros_like(example) if mask is None else mask for mask in masks]
    return kernels, interleave(masks, window.phase_counts, window.output_size)


def _windows(image, taps):
    """(B, M, N, T, C)."""
    gather = Gather(taps)
    (rows,) = by_rows(
        lambda block, image: (gather.windows(image, block),), taps, image.shape[-1], image
    )
    return to_image(rows, taps.grid)


def _divide_by_sum(kernel, counted, in_image, normalize):
    """Divide K by its sum, or by the counted fraction of the taps; also say where it is not 0."""
    if normalize:
        total = ops.sum(kernel, axis=3, keepdims=True)
    else:
        total = ops.sum(counted, axis=3, keepdims=True)
        total = total / ops.maximum(ops.sum(in_image, axis=3, keepdims=True), 1)
    empty = total == 0
    kernel = ops.where(empty, 0, kernel / ops.where(empty, 1, total))
    return kernel, ops.cast(ops.any(ops.logical_not(empty), axis=-1), kernel.dtype)


def smoothed(guide, smoothing):
    """Filter every channel of the guide, zero-padded to keep its size; None for no smoothing."""
    if smoothing is None:
        return None
    dtype = guide.dtype
    if keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16"):
        guide = ops.cast(guide, "float32")
    smoothing = ops.convert_to_tensor(smoothing, guide.dtype)
    smoothing = ops.tile(smoothing[:, :, None, None], (1, 1, guide.shape[-1], 1))
    batch = ops.shape(guide)[0]
    if guide.shape[0] in (None, 0):
        # Of an empty batch TensorFlow's gradient by the filter would be whatever is in the memory.
        guide = ops.pad(guide, ((0, 1), (0, 0), (0, 0), (0, 0)))
    image = ops.depthwise_conv(guide, smoothing, padding="same", data_format="channels_last")
    image = image[:batch] if guide.shape[0] in (None, 1) else image
    return ops.cast(image, dtype)


def join_phases(kernels, window):
    """Phases [(B, M, N, T, ...) or None] as one (B, OH, OW, kh * kw, ...); other taps are 0."""
    if len(kernels) == 1:
        return kernels[0]
    example = next(kernel for kernel in kernels if kernel is not None)
    zero = ops.zeros_like(example[:, :, :, 0])
    images = []
    for phase, kernel in zip(window.phases(), kernels):
        planes = [zero] * math.prod(window.kernel_size)
        for position, tap in enumerate(phase.tap_indices):
            planes[tap] = kernel[:, :, :, position]
        images.append(ops.stack(planes, axis=3))
    return interleave(images, window.phase_counts, window.output_size)


def split_phases(kernel, window):
    """(B, OH, OW, kh * kw, ...) as phases [(B, M, N, T, ...) or None]: the inverse of joining."""
    if window.phase_counts == (1, 1):
        return [kernel]
    images = split(kernel, window.phase_counts, window.grid)
    return [
        ops.take(image, phase.tap_indices, axis=3) if phase.tap_indices else None
        for phase, image in zip(window.phases(), images)
    ]

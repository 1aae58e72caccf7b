"""Pixel-adaptive convolution in plain NumPy: the definition, for comparison only.

Everything is channels_last and float64. The transposed operation inserts its zeros literally and
then convolves, so it shares no shortcut with the package. All functions are analytic in their
inputs, so `gradient` differentiates them by an imaginary step, exact to rounding.
"""

import numpy as np


def pair(value):
    """Return an int or a pair of ints as a pair."""
    return (value, value) if isinstance(value, int) else tuple(value)


def conv_pads(size, kernel_size, strides, dilation_rate, padding):
    """Return ((top, bottom), (left, right)) of a convolution of an image of `size`."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        pads = []
        for n, k, s, d in zip(
            size, pair(kernel_size), pair(strides), pair(dilation_rate), strict=True
        ):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            pads.append((total // 2, total - total // 2))
        return tuple(pads)
    return tuple(pair(p) for p in pair(padding))


def transposed_geometry(size, kernel_size, strides, dilation_rate, padding, output_padding=None):
    """Return the pads ((top, bottom), (left, right)) of the zero-stuffed image.

    'valid' and 'same' give the output sizes of `keras.layers.Conv2DTranspose`.
    """
    pads = []
    output_padding = (None, None) if output_padding is None else pair(output_padding)
    named = isinstance(padding, str)
    explicit = (None, None) if named else [pair(p) for p in pair(padding)]
    for n, k, s, d, p, extra in zip(
        size,
        pair(kernel_size),
        pair(strides),
        pair(dilation_rate),
        explicit,
        output_padding,
        strict=True,
    ):
        reach = (k - 1) * d
        full = (n - 1) * s + reach + 1
        if not named:
            before, after = p
            out = full - before - after + (extra or 0)
        elif padding == "valid":
            before, out = 0, full + (max(s - reach - 1, 0) if extra is None else extra)
        else:
            out = n * s if extra is None else (n - 1) * s + (reach + 1) % 2 + extra
            before = max(full - out, 0) // 2
        stuffed = (n - 1) * s + 1
        pads.append((reach - before, out + before - stuffed))
    return tuple(pads)


def stuff(image, strides):
    """Insert `strides - 1` zeros between the pixels of an image."""
    (rows, columns), (b, h, w, c) = pair(strides), image.shape
    stuffed = np.zeros((b, (h - 1) * rows + 1, (w - 1) * columns + 1, c), image.dtype)
    stuffed[:, ::rows, ::columns] = image
    return stuffed


def windows(image, kernel_size, strides, dilation_rate, pads):
    """Return (B, OH, OW, taps, C): what every tap sees, zero outside the image.

    A negative pad crops.
    """
    (kh, kw), (sh, sw), (dh, dw) = pair(kernel_size), pair(strides), pair(dilation_rate)
    grown = [(0, 0), *[tuple(max(p, 0) for p in side) for side in pads], (0, 0)]
    (top, bottom), (left, right) = [[max(-p, 0) for p in side] for side in pads]
    image = np.pad(image, grown)
    image = image[:, top : image.shape[1] - bottom, left : image.shape[2] - right]
    height = image.shape[1] - (kh - 1) * dh
    width = image.shape[2] - (kw - 1) * dw
    seen = []
    for tap in range(kh * kw):
        y, x = tap // kw * dh, tap % kw * dw
        seen.append(image[:, y : y + height : sh, x : x + width : sw])
    return np.stack(seen, axis=3)


def smooth(guide, window):
    """Filter every channel of the guide with `window`, zero-padded."""
    n, m = window.shape
    seen = windows(guide, (n, m), 1, 1, ((n // 2, n // 2), (m // 2, m // 2)))
    return np.einsum("bijtc,t->bijc", seen, window.reshape(-1))


def adapting_kernel(
    guide,
    kernel_size,
    pads,
    *,
    strides=1,
    dilation_rate=1,
    stuffing=None,
    input_size=None,
    kind="gaussian",
    alpha=None,
    exponent=None,
    asymmetric=False,
    smoothing=None,
    channel_wise=False,
    normalize=False,
    valid_mask=None,
):
    """Return (K, output_mask); K is (B, OH, OW, taps) or (B, OH, OW, taps, C).

    `pads` and `strides` are those of the convolution that K serves. For a transposed one that is
    the convolution of the zero-stuffed image: strides 1, `stuffing` the factor and `input_size`
    the size before stuffing; the guide is at output size, so its own pads are the centred ones.
    """
    kh, kw = pair(kernel_size)
    dh, dw = pair(dilation_rate)
    centred = ((kh // 2 * dh,) * 2, (kw // 2 * dw,) * 2)
    guide_pads = pads if stuffing is None else centred
    neighbours = windows(guide, kernel_size, strides, dilation_rate, guide_pads)
    centres = guide if smoothing is None else smooth(guide, smoothing)
    middle = kh * kw // 2
    centres = windows(centres, kernel_size, strides, dilation_rate, guide_pads)[:, :, :, middle]
    difference = neighbours - centres[:, :, :, None]
    if asymmetric:
        difference = np.where(difference.real > 0, difference, 0)
    distance = difference**2
    if not channel_wise:
        distance = distance.sum(-1)
    if kind == "gaussian":
        kernel = np.exp(-distance / 2)
    else:
        kernel = alpha + (distance + 1e-4) ** (exponent / 2)

    size = guide.shape[1:3] if stuffing is None else input_size
    real = np.ones((guide.shape[0], *size, 1))
    valid = real if valid_mask is None else valid_mask
    if stuffing is not None:
        real, valid = stuff(real, stuffing), stuff(valid, stuffing)
    real = windows(real, kernel_size, strides, dilation_rate, pads)[..., 0]
    valid = windows(valid, kernel_size, strides, dilation_rate, pads)[..., 0]
    if channel_wise:
        real, valid = real[..., None], valid[..., None]
    total = None
    if normalize:
        kernel = kernel * valid
        total = kernel.sum(3, keepdims=True)
        kernel = np.where(total == 0, 0, kernel / np.where(total == 0, 1, total))
    elif valid_mask is not None:
        kernel = kernel * valid
        total = valid.sum(3, keepdims=True)
        share = total / np.maximum(real.sum(3, keepdims=True), 1)
        kernel = np.where(total == 0, 0, kernel / np.where(total == 0, 1, share))
    output_mask = None
    if valid_mask is not None:
        output_mask = (total[:, :, :, 0] != 0).astype("float64")
        if not channel_wise:
            output_mask = output_mask[..., None]
    return kernel, output_mask


def conv(x, adapting, kernel, bias, pads, *, strides=1, dilation_rate=1):
    """PAC with `kernel` (kh, kw, Cin, Cout), or (kh, kw, 1, 1) shared by all channels."""
    kh, kw = kernel.shape[:2]
    seen = windows(x, (kh, kw), strides, dilation_rate, pads)
    flat = kernel.reshape(kh * kw, *kernel.shape[2:])
    if kernel.shape[2:] == (1, 1):
        y = np.einsum("bijt,bijtc,t->bijc", adapting, seen, flat[:, 0, 0])
    else:
        y = np.einsum("bijt,bijtc,tco->bijo", adapting, seen, flat)
    return y if bias is None else y + bias


def conv_transpose(x, adapting, kernel, bias, pads, *, strides=1, dilation_rate=1):
    """Transposed PAC; `kernel` (kh, kw, Cout, Cin) as in `keras.layers.Conv2DTranspose`.

    `pads` come from `transposed_geometry`.
    """
    unmirrored = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return conv(stuff(x, strides), adapting, unmirrored, bias, pads, dilation_rate=dilation_rate)


def pool(x, adapting, kernel_size, pads, *, strides=1, dilation_rate=1):
    """PAC pooling; `adapting` may have a channel axis of its own."""
    seen = windows(x, kernel_size, strides, dilation_rate, pads)
    if adapting.ndim == 4:
        adapting = adapting[..., None]
    return (adapting * seen).sum(3)


def gradient(function, array):
    """Gradient of a real scalar `function` of `array`, by an imaginary step for every element."""
    step = 1e-30
    result = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype("complex128")
        moved[index] += 1j * step
        result[index] = function(moved).imag / step
    return result

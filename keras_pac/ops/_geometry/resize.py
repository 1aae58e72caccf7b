"""Bilinear resizing: half-pixel centres, no antialiasing, channels last.

Unlike `keras.ops.image.resize` these work where the size is unknown until run time.
"""

from keras import ops


def enlarge_bilinear(images, factors):
    """Make images (B, H, W, C) higher and wider by the two factors."""
    return _enlarge(_enlarge(images, factors[0], axis=1), factors[1], axis=2)


def _enlarge(images, factor, axis):
    size = ops.shape(images)[axis]
    first, last = _cut(images, 0, 1, axis), _cut(images, size - 1, 1, axis)
    before = ops.concatenate([first, _cut(images, 0, size - 1, axis)], axis=axis)
    after = ops.concatenate([_cut(images, 1, size - 1, axis), last], axis=axis)
    phases = []
    for phase in range(factor):
        shift = (phase + 0.5) / factor - 0.5
        neighbour = before if shift < 0 else after
        phases.append(images + abs(shift) * (neighbour - images))
    shape = list(ops.shape(images))
    shape[axis] = size * factor
    return ops.reshape(ops.stack(phases, axis=axis + 1), shape)


def _cut(images, start, size, axis):
    return images[:, start : start + size] if axis == 1 else images[:, :, start : start + size]


def resize_bilinear(images, size):
    """Images (B, H, W, C) at another size (height, width)."""
    return _resize(images, size, _half_pixel_centers)


def resize_aligned(images, size):
    """Images (B, H, W, C) at another size (height, width), their corners at its corners."""
    return _resize(images, size, _aligned_corners)


def _resize(images, size, place):
    for axis in (1, 2):
        old, new = ops.shape(images)[axis], size[axis - 1]
        if not (isinstance(old, int) and isinstance(new, int) and old == new):
            images = _mixed(images, *place(old, new, images.dtype), axis)
    return images


def _half_pixel_centers(old, new, dtype):
    """For each of the new pixels the old one before it, and its share of the way to the next."""
    scale = ops.cast(old, "float32") / ops.cast(new, "float32")
    position = (ops.arange(new, dtype="float32") + 0.5) * scale - 0.5
    before = ops.floor(position)
    return ops.cast(before, "int32"), ops.cast(position - before, dtype)


def _aligned_corners(old, new, dtype):
    """As `_half_pixel_centers`; in integers, since rounding must not move a position."""
    intervals = ops.maximum(new - 1, 1)
    position = ops.arange(new, dtype="int32") * (old - 1)
    share = ops.cast(position % intervals, dtype) / ops.cast(intervals, dtype)
    return position // intervals, share


def _mixed(images, before, share, axis):
    """Between the pixels `before` and those after them, `share` of the way."""
    share = share[:, None, None] if axis == 1 else share[:, None]
    last = ops.shape(images)[axis] - 1
    first, second = (
        ops.take(images, ops.clip(index, 0, last), axis=axis) for index in (before, before + 1)
    )
    return first + share * (second - first)


def shrink_bilinear(images, factor):
    """Make images (B, H, W, C) `factor` times lower and narrower; `factor` must be even.

    The centre of a cell then lies between its two middle pixels.
    """
    start = factor // 2 - 1
    return ops.average_pool(
        images[:, start:, start:], 2, strides=factor, data_format="channels_last"
    )

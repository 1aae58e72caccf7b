"""Pads and crops channels_last images, splits them into phases, and joins phases again.

Sizes and positions are Python ints, or scalar tensors where TensorFlow does not know them before
the graph runs.
"""

from keras import ops


def pad(image, rows, columns):
    """Zero-pad a channels_last image; `rows` and `columns` are (before, after)."""
    if all(isinstance(p, int) and p == 0 for p in (*rows, *columns)):
        return image
    return ops.pad(image, ((0, 0), rows, columns) + ((0, 0),) * (len(image.shape) - 3))


def repeat_border(image, count):
    """`count` more rows and columns on each side, like those at the border."""
    for axis in (1, 2):
        ends = [slice(0, 1), slice(-1, None)]
        first, last = (image[:, end] if axis == 1 else image[:, :, end] for end in ends)
        image = ops.concatenate([first] * count + [image] + [last] * count, axis=axis)
    return image


def crop(image, rows, columns):
    """Rows (first, count) and columns (first, count) of an image; 0 outside it."""
    slices, padding = [], []
    for (first, count), size in zip((rows, columns), ops.shape(image)[1:3]):
        start, stop = _clip(first, 0, size), _clip(first + count, 0, size)
        before = _clip(-first, 0, count)
        slices.append(slice(start, stop))
        padding.append((before, count - before - (stop - start)))
    return pad(image[:, slices[0], slices[1]], *padding)


def _clip(value, low, high):
    if all(isinstance(v, int) for v in (value, low, high)):
        return min(max(value, low), high)
    return ops.minimum(ops.maximum(value, low), high)


def span(offsets, step, outputs):
    """The pixels (first, count) that `outputs` outputs read along an axis."""
    return min(offsets), step * (outputs - 1) + max(offsets) - min(offsets) + 1


def slice_tap(image, taps):
    """What the only tap of `taps` reads from an image: (B, M, N, ...)."""
    (row_step, column_step), (m, n) = taps.steps, taps.grid
    image = crop(
        image, span(taps.row_offsets, row_step, m), span(taps.column_offsets, column_step, n)
    )
    return image if taps.steps == (1, 1) else image[:, ::row_step, ::column_step]


def split(image, phase_counts, grid):
    """The phases (B, M, N, ...) of (B, H, W, ...), row-major: the inverse of `interleave`."""
    (a, b), (m, n) = phase_counts, grid
    if a == b == 1:
        return [image]
    batch, height, width, *rest = ops.shape(image)
    image = pad(image, (0, m * a - height), (0, n * b - width))
    image = ops.reshape(image, (batch, m, a, n, b, *rest))
    order = (2, 4, 0, 1, 3, *range(5, len(rest) + 5))
    image = ops.reshape(ops.transpose(image, order), (a * b, batch, m, n, *rest))
    return ops.unstack(image, a * b, axis=0)


def interleave(phases, phase_counts, output_size):
    """Write phases [(B, M, N, ...)] (row-major) side by side: (B, OH, OW, ...)."""
    a, b = phase_counts
    if a == b == 1:
        return phases[0]
    shape = ops.shape(phases[0])
    rest = tuple(range(5, len(shape) + 2))
    image = ops.stack(phases, axis=1)
    image = ops.reshape(image, (shape[0], a, b, *shape[1:]))
    image = ops.transpose(image, (0, 3, 1, 4, 2, *rest))
    image = ops.reshape(image, (shape[0], shape[1] * a, shape[2] * b, *shape[3:]))
    return image[:, : output_size[0], : output_size[1]]

"""Unknown pixels of a map, filled from the known ones around them."""

import numpy as np

# The eight neighbours weigh as a Gaussian of these standard deviations.
DISTANCE = 0.7  # pixels
COLOR = 0.04  # root mean square of the differences of the channels, which range from 0 to 1
COARSER = 0.01  # weight of the map of half the size: it counts where no neighbour is alike


def fill_unknown(target, known, image, factor):
    """Give the pixels that are not `known` a mean of the known ones around them.

    Depth cameras lose pixels along edges. A mean of all around would fill these with depths between
    object and background. So next to known pixels those of the same colour count. Gaps that are
    wider are filled by coarser means, whatever their colour.

    Args:
        target, known: arrays (h, w, C), of floating-point numbers and booleans.
        image: array (factor * h, factor * w, channels), of uint8 or in [0, 1].
        factor: int.
    """
    if known.all():
        return target
    empty = int((~known.any((0, 1))).sum())
    if empty:
        raise ValueError(
            "Each channel of the target must have a known pixel. Received: "
            f"{empty} of {known.shape[2]} channels without one"
        )
    colors = _cells(image, factor).mean((1, 3), float) / (255 if image.dtype == np.uint8 else 1)
    return _filled(target, known, colors).astype(target.dtype)


def _filled(target, known, colors):
    """The target with weighted means of the eight neighbours that are known.

    Where none is, or none is of the same colour, the map of half the size decides, which is filled
    in the same way.
    """
    if known.all():
        return target
    rows, cols = known.shape[:2]
    values, counts = np.where(known, target, 0), known.astype(float)
    sums, weights = COARSER * _from_half_the_size(values, counts, colors), COARSER
    padded = [np.pad(array, [(1, 1), (1, 1), (0, 0)]) for array in (values, counts, colors)]
    for row, col in np.ndindex(3, 3):
        value, count, color = (array[row : row + rows, col : col + cols] for array in padded)
        distance = ((row - 1) ** 2 + (col - 1) ** 2) / DISTANCE**2
        difference = np.mean((color - colors) ** 2, axis=2, keepdims=True) / COLOR**2
        weight = count * np.exp(-0.5 * (distance + difference))
        sums, weights = sums + weight * value, weights + weight
    return np.where(known, target, sums / weights)


def _from_half_the_size(values, counts, colors):
    """The map of means of 2x2 pixels, filled, and enlarged by interpolation.

    With weights by colour, edges of real maps came out worse.
    """
    rows, cols = values.shape[:2]
    even = [(0, rows % 2), (0, cols % 2), (0, 0)]
    values, counts = (_cells(np.pad(array, even), 2).sum((1, 3)) for array in (values, counts))
    colors = _cells(np.pad(colors, even, mode="edge"), 2).mean((1, 3))
    half = _filled(values / np.maximum(counts, 1), counts > 0, colors)
    return _doubled(_doubled(half, 0), 1)[:rows, :cols]


def _cells(array, factor):
    """(rows, factor, columns, factor, channels): axes 1 and 3 are those of a cell."""
    rows, cols, channels = array.shape
    return array.reshape(rows // factor, factor, cols // factor, factor, channels)


def _doubled(values, axis):
    """Twice as long along an axis, by linear interpolation."""
    values = np.moveaxis(values, axis, 0)
    around = np.concatenate([values[:1], values, values[-1:]])
    sides = [values + 0.25 * (neighbour - values) for neighbour in (around[:-2], around[2:])]
    doubled = np.stack(sides, 1).reshape(-1, *values.shape[1:])
    return np.moveaxis(doubled, 0, axis)

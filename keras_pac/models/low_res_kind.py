"""Turned by 180 degrees, a map and its picture show the same scene, and how the map came about."""

import numpy as np

SIDE = 256  # pixels of the picture that are looked at, in height and width
# There one pixel, which is the difference, is neither nothing nor all of a cell.
TOLD_APART = (4, 8)
LEAST = 8  # pixels of the map, in height and width
CLEAR = 1.25  # times less disagreement than with the other kind


def turned(low, image, result, low_res):
    """The arrays turned by 180 degrees, without the pixels that have no place then.

    The samples of "center" are those before the middle of a cell. Turned, they are those behind it,
    but for an image that begins a pixel later. Its last row and column are repeated.
    """
    low, image, result = (array[::-1, ::-1] for array in (low, image, result))
    if low_res == "center":
        image = np.pad(image[1:, 1:], [(0, 1), (0, 1), (0, 0)], mode="edge")
        result = result[1:, 1:]
    return low, image, result


def guess_low_res(predict, low, image, factor):
    """ "center" or "average", or "any" if that is not clear.

    The scene is computed as it is and turned, as if the map were of the one and the other kind:
    with the right one, both results agree.

    Args:
        predict: function of a map (h, w), an image (H, W, 3) and "any", which returns an array
            (H, W).
        low, image: arrays (h, w, C) and (H, W, 3).
        factor: int, H / h.
    """
    if factor not in TOLD_APART or min(low.shape[:2]) < LEAST:
        return "any"
    rows, cols, channel = _where_most_happens(low, SIDE // factor)
    low = low[rows, cols, channel]
    image = image[tuple(slice(factor * s.start, factor * s.stop) for s in (rows, cols))]
    result, disagreement = predict(low, image, "any"), {}
    for kind in ("center", "average"):
        low_turned, image_turned, shown = turned(low, image, result, kind)
        again = predict(low_turned, image_turned, "any")[: shown.shape[0], : shown.shape[1]]
        inside = (slice(2 * factor, -2 * factor),) * 2
        disagreement[kind] = np.sqrt(np.mean((again - shown)[inside] ** 2))
    for kind, other in (("center", "average"), ("average", "center")):
        if CLEAR * disagreement[kind] < disagreement[other]:
            return kind
    return "any"


def _where_most_happens(low, side):
    """Rows, columns and channel of the part with the largest sum of differences of neighbours."""
    steps = [np.abs(np.diff(low, axis=axis, prepend=low.take([0], axis))) for axis in (0, 1)]
    sums = np.pad(np.sum(steps, 0).cumsum(0).cumsum(1), [(1, 0), (1, 0), (0, 0)])
    h, w = (min(side, size) for size in low.shape[:2])
    parts = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    row, col, channel = (int(i) for i in np.unravel_index(parts.argmax(), parts.shape))
    return slice(row, row + h), slice(col, col + w), channel

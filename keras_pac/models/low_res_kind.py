"""How a low-resolution map came about: found out from a result, and used to correct it."""

import numpy as np

SIDE = 384  # pixels of the picture that are looked at, in height and width
TOLD_APART = (4, 8, 16)  # at a factor of 2 one pixel in four is the sample
LEAST = 8  # pixels of the map, in height and width
# Times less disagreement than with the other kind. Averages of thin structures, and noisy ones,
# look much like samples; samples hardly ever look like averages.
CLEAR = {"center": 1.5, "average": 1.3}
NOISE = 0.6745  # median of the absolute values of a normal distribution with deviation 1


def turned(low, image, result, low_res):
    """The arrays turned by 180 degrees. What is written to the result's is written to the result.

    The samples of "center" are those before the middle of a cell. Turned, they are those behind it,
    but for an image that begins a pixel later: its last row and column are repeated, and the first
    ones of the result have no counterpart.
    """
    low, image, result = (array[::-1, ::-1] for array in (low, image, result))
    if low_res == "center":
        image = np.pad(image[1:, 1:], [(0, 1), (0, 1), (0, 0)], mode="edge")
        result = result[1:, 1:]
    return low, image, result


def guess_low_res(predict, low, image, factor):
    """ "center" or "average", or "any" if that is not clear.

    A result that is computed without knowing it is reduced in both ways: the right one gives back
    the map.

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
    result = predict(low, image[pixels_of((rows, cols), factor)], "any")
    disagreement = {kind: np.std(low - reduced(result, factor, kind)) for kind in CLEAR}
    for kind, other in (("center", "average"), ("average", "center")):
        if CLEAR[kind] * disagreement[kind] < disagreement[other]:
            return kind
    return "any"


def reduced(result, factor, low_res):
    """The map that is made of a result (H, W, ...) in the way that `low_res` says.

    For "average" a mean of Pillow's bicubic and of area reduction, since one can't tell which.
    """
    if low_res == "center":
        first = (factor - 1) // 2
        return result[first::factor, first::factor]
    taps = np.arange(-3 * factor // 2, 5 * factor // 2)  # four cells, the second is the pixel's own
    distance = (taps - (factor - 1) / 2) / factor
    weights = _cubic(distance) + (np.abs(distance) < 0.5)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        size = result.shape[axis]
        pixels = factor * np.arange(size // factor) + taps[:, None]
        result = sum(
            weight * result.take(at, axis)
            for weight, at in zip(weights, np.clip(pixels, 0, size - 1))
        )
    return result


def sees_more_again(low_res, factor):
    """Whether a second look gains by seeing the map with what was missing in the first result.

    Measured: with samples it does not at factors of 2 and 4.
    """
    return low_res == "average" or factor > 4


def missing(result, low, known, factor, low_res, block):
    """What a result lacks to be reduced to the map, x - reduced(y), but for the noise of the map.

    The error of a good result is at edges. What is small and everywhere is noise: a difference d
    counts (1 - s^2 / d^2) times, and not at all below s, the standard deviation of the noise if the
    median of the known differences were noise.

    Args:
        result: array (H, W, C).
        low, known: arrays (h, w, C). Where it is not known, nothing is missing.
        factor: int, H / h.
        low_res: "center" or "average".
        block: int, how many rows of the result are looked at at a time.
    """
    difference = np.zeros(low.shape, np.float32)
    step = max(1, block // factor)
    for start in range(0, low.shape[0], step):
        stop = min(start + step, low.shape[0])
        # With two cells more on each side, where there are such.
        first, last = max(start - 2, 0), min(stop + 2, low.shape[0])
        part = reduced(result[factor * first : factor * last], factor, low_res)
        difference[start:stop] = low[start:stop] - part[start - first : stop - first]
    difference[~known] = 0
    for channel in range(low.shape[2]):
        size = np.abs(difference[..., channel])
        noise = np.median(size[known[..., channel]]) / NOISE
        size = np.maximum(size, 1e-30)  # which is nothing in a range of 1, and not 0
        difference[..., channel] *= 1 - np.minimum(1, noise / size) ** 2
    return difference


def add_enlarged(result, low, factor, low_res, block):
    """Add a map to the result, in place, by bicubic interpolation; `block` rows at a time."""
    place = (factor - 1) // 2 if low_res == "center" else (factor - 1) / 2
    cols = (np.arange(result.shape[1]) - place) / factor
    for start in range(0, result.shape[0], block):
        part = result[start : start + block]
        at = (np.arange(start, start + len(part)) - place) / factor
        part += _interpolated(_interpolated(low, at, 0), cols, 1)


def _interpolated(values, positions, axis):
    """Bicubic interpolation along an axis."""
    before = np.floor(positions).astype(int)
    shape = [-1 if n == axis else 1 for n in range(values.ndim)]
    return sum(
        _cubic(positions - at).astype(np.float32).reshape(shape)
        * values.take(np.clip(at, 0, values.shape[axis] - 1), axis)
        for at in (before - 1, before, before + 1, before + 2)
    )


def _cubic(x):
    """Keys's kernel, with a = -1/2."""
    x = np.abs(x)
    near, far = ((1.5 * x - 2.5) * x * x + 1), (((-0.5 * x + 2.5) * x - 4) * x + 2)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def pixels_of(slices, factor):
    """The pixels of the image that belong to slices of the map."""
    return tuple(slice(factor * s.start, factor * s.stop) for s in slices)


def _where_most_happens(low, side):
    """Rows, columns and channel of the part with the largest sum of differences of neighbours."""
    steps = [np.abs(np.diff(low, axis=axis, prepend=low.take([0], axis))) for axis in (0, 1)]
    sums = np.pad(np.sum(steps, 0).cumsum(0).cumsum(1), [(1, 0), (1, 0), (0, 0)])
    h, w = (min(side, size) for size in low.shape[:2])
    parts = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    row, col, channel = (int(i) for i in np.unravel_index(parts.argmax(), parts.shape))
    return slice(row, row + h), slice(col, col + w), channel

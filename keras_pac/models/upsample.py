"""Joint upsampling of arrays of any size, unit and type, by a trained network."""

import functools
import itertools

import keras
import numpy as np

from keras_pac.models.fill_unknown import fill_unknown
from keras_pac.models.learned_bilateral_upsample import FACTORS, LearnedBilateralUpsample
from keras_pac.models.low_res_kind import (
    add_enlarged,
    guess_low_res,
    missing,
    pixels_of,
    sees_more_again,
    turned,
)
from keras_pac.ops import checks

KINDS = {"any": 0.0, "center": 1.0, "average": -1.0}
LARGEST = float(np.finfo(np.float32).max)
MANY_TILES = 8  # so many take seconds: a progress bar


def upsample(target, image, low_res="any", weights="scenes", valid_mask=None, tile=1024):
    """Make a low-resolution map sharp with a picture of the same scene.

    y = network(x, image), for x = (target - minimum) / (maximum - minimum)

    Every channel is upsampled by itself. A change of the target's unit (a target + b, a > 0) passes
    through. Where it is known how the target came about, told by `low_res` or guessed, the network
    looks twice, the second time at the scene turned by 180 degrees. And the result is reduced in
    the same way: what that lacks of x, d(y) = x - reduced(y), is put in again, but for the noise
    of x:

        y1 = network(x, image),    y2 = network(x + 2 d(y1), image), turned,    m = (y1 + y2) / 2
        y = m + enlarged(d(m))

    (y2 without d(y1) for "center" at factors 2 and 4, where it gains nothing).
    Large images are computed in tiles, each with all pixels around it that the network reads: the
    result is that of the whole image. The memory beyond the arrays and two copies of the image does
    not grow with it.

    Args:
        target: array (h, w) or (h, w, C) of any real type and unit: depth, disparity, flow, heat
            maps. Pixels that are not finite, or masked (`numpy.ma`), are unknown.
        image: array (H, W), (H, W, 1) or (H, W, 3), grey or RGB, of uint8 or of floating-point type
            with colours from 0 to 1. h = H / factor and w = W / factor, rounded up, for a factor of
            2, 4, 8 or 16.
        low_res: how the target came about: "center" if each of its numbers is that of one pixel in
            the middle of a cell, "average" if it is a mean, as of bicubic and area reduction.
            "average" sharpens, noise too: tell it for clean maps. "any" (default): not known. The
            "scenes" network then guesses it, once for all channels, for factors of 4, 8 and 16 and
            targets without unknown pixels, if at least 8 pixels high and wide. The guess is right
            for most real depth maps; noisy averages are often taken for samples, which suits them.
        weights: "scenes" (default) for the network that comes with the package, a
            `LearnedBilateralUpsample` trained on drawn scenes; or a network of `keras_pac.models`,
            called with `[target_low, guide]`, whose factor counts.
        valid_mask: None (default), or array (h, w) or (h, w, C) of numbers or booleans: 0 where the
            target is unknown, as it is where it is NaN. Unknown pixels are filled first: by the
            known ones next to them that have the same colour; deeper in a gap by all around it.
        tile: int, height and width of the tiles in pixels of the image. Defaults to 1024.

    Returns:
        A float32 array (H, W) or (H, W, C), in the unit of the target. Edges may overshoot the
        target's range, usually by less than a fifth: clip probabilities.

    Raises:
        ValueError: if an argument breaks its rule above, or if no pixel of a channel is known.

    Example:
        >>> import keras_pac
        >>> depth = np.full((12, 16), 3.0)
        >>> depth[:, 8:] = 1.5
        >>> picture = np.zeros((48, 64, 3), "uint8")
        >>> picture[:, 31:] = 200  # the edge, between two samples of the depth
        >>> sharp = keras_pac.upsample(depth, picture)
        >>> np.round(sharp[24, [0, 30, 32, 63]], 1).tolist()
        [3.0, 3.0, 1.5, 1.5]

    Reference:
        Kopf et al., Joint Bilateral Upsampling, SIGGRAPH 2007, with learned features; as a PAC: Su
        et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3.
    """
    checks.one_of("low_res", low_res, KINDS)
    checks.positive_integer("tile", tile)
    low, image = _check_target(target), checks.grey_or_rgb("image", image)
    known = np.isfinite(low) & _check_mask(valid_mask, low.shape)
    network = _network(weights, low.shape[:2], image.shape[:2])
    guide = pad_to_multiple(image, network.factor)
    low, offset, scale = _in_unit(np.where(known, low, np.nan), known)
    low = fill_unknown(low, known, guide, network.factor)
    takes_kind = isinstance(network, LearnedBilateralUpsample)

    def predict(low, image, low_res):
        inputs = [low[..., None], _colors(image)]
        if takes_kind:
            inputs.append(np.array([KINDS[low_res]], np.float32))
        # Compiled on JAX, and without the record for gradients that PyTorch would keep.
        return network.predict_on_batch([x[None] for x in inputs])[0, ..., 0]

    if low_res == "any" and weights == "scenes" and known.all():
        low_res = guess_low_res(predict, low, guide, network.factor)
    told = low_res != "any"
    pieces = list(
        _pieces(low.shape, max(1, tile // network.factor), getattr(network, "reach", None))
    )
    looks = len(pieces) * (1 + told)
    progress = keras.utils.Progbar(looks) if looks >= MANY_TILES else None
    result = np.zeros((*guide.shape[:2], low.shape[2]), np.float32)

    def look(low, guide, result, number):
        """Make the result the mean of the looks so far, of which this is the `number`-th."""
        for channel, part, seen in pieces:
            seen_guide = guide[pixels_of(seen, network.factor)]
            output = predict(low[(*seen, channel)], seen_guide, low_res)
            inside = [slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, seen)]
            output = output[pixels_of(inside, network.factor)]
            mean = result[(*pixels_of(part, network.factor), channel)]
            mean += (output[: mean.shape[0], : mean.shape[1]] - mean) / number
            if progress:
                progress.add(1)

    look(low, guide, result, 1)
    if told:
        rest = functools.partial(missing, result, low, known, network.factor, low_res, tile)
        again = low + 2 * rest() if sees_more_again(low_res, network.factor) else low
        look(*turned(again, guide, result, low_res), 2)
        add_enlarged(result, rest(), network.factor, low_res, tile)
    result = result[: image.shape[0], : image.shape[1]]
    for row in range(0, image.shape[0], tile):  # in float64, without a copy of the whole
        rows = result[row : row + tile]
        rows[:] = np.clip(rows * scale + offset, -LARGEST, LARGEST)
    return result[..., 0] if np.ndim(target) == 2 else result


def pad_to_multiple(image, factor):
    """Repeat the last row and column until `factor` divides the height and the width."""
    padding = [(0, -size % factor) for size in image.shape[:2]]
    return np.pad(image, [*padding, (0, 0)], mode="edge") if np.any(padding) else image


def _in_unit(target, known):
    """The target with the range of what is known of each channel brought to [0, 1], and the way
    back: offset and scale. A flat channel is 0."""
    low = np.where(known, target, np.inf).min((0, 1))
    high = np.where(known, target, -np.inf).max((0, 1))
    scale = np.where(high > low, high - low, 1.0)
    return ((target - low) / scale).astype(np.float32), low, scale


def _network(weights, small, large):
    """The network that makes an image of size `large` out of a target of size `small`."""
    if isinstance(getattr(weights, "factor", None), int):
        factors = (weights.factor,)
    elif isinstance(weights, str) and weights == "scenes":
        factors = FACTORS
    else:
        raise ValueError(
            '`weights` must be "scenes" or a joint upsampling network of keras_pac.models. '
            f"Received: weights={weights!r}"
        )
    fitting = [n for n in factors if tuple(-(-size // n) for size in large) == tuple(small)]
    if not fitting:
        raise ValueError(
            "The image must be larger than the target by a factor of "
            f"{' or '.join(map(str, factors))}, the same in height and width: the target has the "
            "size of the image divided by the factor, rounded up. Received: a target of "
            f"{small[0]}x{small[1]} and an image of {large[0]}x{large[1]} pixels (rows x columns)"
        )
    return _scenes_network(fitting[0]) if weights == "scenes" else weights


@functools.lru_cache
def _scenes_network(factor):
    return LearnedBilateralUpsample(factor, weights="scenes", dtype="float32")


def _pieces(shape, tile, around):
    """(channel, rows and columns of a tile, those that the network sees), in low-res pixels."""
    rows, cols, channels = shape
    for channel in range(channels):
        for row, col in itertools.product(*(_along(size, tile, around) for size in (rows, cols))):
            yield channel, *zip(row, col)


def _along(size, tile, around):
    """Pairs of slices along an axis; all that is seen has one size, as each size is compiled."""
    if around is None:
        tile, around = size, 0
    seen = min(size, tile + 2 * around)
    for start in range(0, size, tile):
        first = min(max(start - around, 0), size - seen)
        yield slice(start, min(start + tile, size)), slice(first, first + seen)


def _colors(image):
    """RGB from 0 to 1 in float32."""
    colors = image / np.float32(255) if image.dtype == np.uint8 else image.astype(np.float32)
    return np.broadcast_to(colors, (*image.shape[:2], 3))


def _check_target(target):
    """The target as float64 (h, w, C), NaN where it is not finite."""
    target = np.asanyarray(target)
    if target.ndim not in (2, 3) or 0 in target.shape:
        raise ValueError(
            "`target` must be an array (height, width) or (height, width, channels), not empty. "
            f"Received: shape {target.shape}"
        )
    checks.real_array("target", target)
    if np.ma.isMaskedArray(target):
        target = target.astype(np.float64).filled(np.nan)
    target = target.astype(np.float64).reshape(*target.shape[:2], -1)
    target = np.where(np.isfinite(target), target, np.nan)
    most = np.nanmax(np.abs(target), initial=0.0)
    if most > LARGEST:
        raise ValueError(f"`target` must fit into float32, as the result. Received: {most:g} in it")
    return target


def _check_mask(mask, shape):
    """The mask as booleans that fit an array of the shape (h, w, C)."""
    if mask is None:
        return True
    mask = np.asarray(np.ma.filled(mask, 0))
    if mask.dtype.kind not in "biuf" or mask.shape not in (shape[:2], (*shape[:2], 1), shape):
        raise ValueError(
            "`valid_mask` must be an array of numbers or booleans of the size of the target, "
            f"{shape[:2]} or {shape}. Received: {mask.dtype} of shape {mask.shape}"
        )
    return np.nan_to_num(mask).reshape(*shape[:2], -1) != 0

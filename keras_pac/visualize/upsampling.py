"""A picture of what joint upsampling changes."""

import keras
import numpy as np

from keras_pac.models.fill_unknown import fill_unknown
from keras_pac.models.upsample import pad_to_multiple, upsample
from keras_pac.ops import checks
from keras_pac.ops._geometry.resize import enlarge_bilinear
from keras_pac.visualize._drawing import (
    add_bar,
    draw,
    draw_signed,
    most_of,
    need_matplotlib,
    new_panels,
)


def upsampling(target, image, result=None, truth=None):
    """Draw what joint upsampling made of a low-resolution map, beside bilinear interpolation.

    The panels are the picture, the target, the target enlarged bilinearly (unknown pixels are
    filled first, as `keras_pac.upsample` does), the result, and the change, result - bilinear: red
    where the result is smaller, blue where it is larger. With a truth, the distances of both from
    it are drawn, too, and their titles say

        RMSE = sqrt(mean((y - truth)^2))

    over the pixels that are known in y and in the truth. Changes and errors beyond the 99th
    percentile of their absolute values have the last colour of the scale.

    Args:
        target: array (h, w) or (h, w, 1) of any real type and unit. Pixels that are not finite, or
            masked (`numpy.ma`), are unknown; unknown pixels are drawn grey, here and below.
        image: array (H, W), (H, W, 1) or (H, W, 3), grey or RGB, of uint8 or of floating-point type
            with colours from 0 to 1. h = H / factor and w = W / factor, rounded up, for a whole
            factor.
        result: array (H, W) or (H, W, 1), the upsampled target; None (default):
            `keras_pac.upsample(target, image)`.
        truth: None (default), or array (H, W) or (H, W, 1).

    Returns:
        A `matplotlib.figure.Figure`, which a notebook shows; `figure.savefig("upsampling.png")`
        saves it.

    Raises:
        ValueError: for arrays that break a rule above or, without a result, one of
            `keras_pac.upsample`; or if no pixel of the target is known.
        ImportError: if matplotlib is not installed.

    Example:
        >>> depth, picture = np.random.rand(6, 8), np.random.rand(12, 16, 3)
        >>> figure = keras_pac.visualize.upsampling(depth, picture, result=np.ones((12, 16)))
        >>> [axes.get_title() for axes in figure.axes[:5]]
        ['picture', 'target (6x8)', 'bilinear', 'result', 'result - bilinear']

    Reference:
        Kopf et al., Joint Bilateral Upsampling, SIGGRAPH 2007.
    """
    image = checks.grey_or_rgb("image", image)
    low = _check_map("target", target)
    factor = _factor(low.shape, image.shape[:2])
    if result is not None:
        result = _check_map("result", result, image.shape[:2])
    if truth is not None:
        truth = _check_map("truth", truth, image.shape[:2])
    need_matplotlib()
    if result is None:
        result = _check_map("result", upsample(low, image))
    bilinear = _bilinear(low, image, factor)[: image.shape[0], : image.shape[1]]

    maps = {f"target ({low.shape[0]}x{low.shape[1]})": low, "bilinear": bilinear, "result": result}
    if truth is not None:
        maps["truth"] = truth
    figure, axes = new_panels(*((5, image.shape, 3) if truth is None else (8, image.shape, 4)))
    axes = iter(axes)
    draw(next(axes), image, "picture")
    known = np.ma.concatenate([each.ravel() for each in maps.values()])
    style = {"vmin": known.min(), "vmax": known.max(), "cmap": "viridis"}
    for title, each in maps.items():
        drawn = draw(next(axes), each, title, **style)
        add_bar(figure, drawn, drawn.axes)
    change = result - bilinear
    drawn = draw_signed(next(axes), change, "result - bilinear", most_of([change]))
    add_bar(figure, drawn, drawn.axes, extend="both")
    if truth is not None:
        errors = {"bilinear": np.abs(bilinear - truth), "result": np.abs(result - truth)}
        style = {"vmin": 0, "vmax": most_of(errors.values()), "cmap": "magma_r"}
        for name, error in errors.items():
            rmse = float(np.ma.filled(np.ma.sqrt((error**2).mean()), np.nan))
            title = f"|{name} - truth|, RMSE {rmse:.3g}"
            drawn = draw(next(axes), error, title, **style)
            add_bar(figure, drawn, drawn.axes, extend="max")
    return figure


def _bilinear(low, image, factor):
    """The map enlarged by a factor, unknown pixels filled; float64, without a mask."""
    known = ~np.ma.getmaskarray(low)[..., None]
    image = pad_to_multiple(image, factor)
    filled = fill_unknown(low.filled(np.nan)[..., None], known, image, factor)
    # In its own range from 0 to 1, since float32 would round a map with a large offset.
    start, length = filled.min(), np.ptp(filled) or 1.0
    scaled = keras.ops.convert_to_tensor((filled[None] - start) / length, "float32")
    enlarged = keras.ops.convert_to_numpy(enlarge_bilinear(scaled, (factor, factor)))
    return enlarged[0, ..., 0].astype(np.float64) * length + start


def _check_map(name, value, size=None):
    """A map as a float64 masked array (H, W), in which what is not finite is masked."""
    array = np.asanyarray(value)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"`{name}` must be an array (height, width) or (height, width, 1), not empty; of a map "
            f"with several channels give one. Received: shape {np.shape(value)}"
        )
    checks.real_array(name, array)
    if size is not None and array.shape != tuple(size):
        raise ValueError(
            f"`{name}` must have the height and width of `image`, {tuple(size)}. "
            f"Received: shape {array.shape}"
        )
    return np.ma.masked_invalid(array.astype(np.float64))


def _factor(small, large):
    """The smallest whole factor from a target of size `small` to an image of size `large`."""
    factor = -(-large[0] // small[0])
    for each in range(1, factor + 1):
        if tuple(-(-size // each) for size in large) == small:
            return each
    raise ValueError(
        "`target` must have the size of `image` divided by a whole factor, rounded up, the same in "
        f"height and width. Received: a target of {small[0]}x{small[1]} and an image of "
        f"{large[0]}x{large[1]} pixels (rows x columns)"
    )

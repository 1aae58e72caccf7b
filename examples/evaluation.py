"""How upsampling is measured: the low-res input, its scale, the error, and plain interpolation.

Arrays are NumPy, (rows, cols, channels), without a batch.
"""

import functools

import keras
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.transform import resize

LOW_RES = ("center", "last", "bilinear", "bicubic", "nearest")
ORDERS = {"nearest": 0, "bilinear": 1, "bicubic": 3}
FLOW_LIMIT = 1e7  # a longer flow vector marks an unknown pixel
# In low-res pixels, the farthest that a network of `keras_pac.models` looks is 6 in the branch of
# the target, 2 in the transposed layers together and 2 in the last convolutions. Joint bilateral
# upsampling looks (kernel_size / 2) / factor.
OVERLAP = 10


def sample_centers(image, factor):
    """Low-res image: of every cell of factor × factor pixels the one at index (factor - 1) // 2.

    For an even factor that is half a pixel before the middle of the cell. Every method gets the
    same low-res image; interpolation takes its values to lie in the middle.
    """
    first = (factor - 1) // 2
    return image[first::factor, first::factor]


def low_resolution(image, factor, how="center"):
    """The low-res image, `factor` times smaller, made in one of the ways of `LOW_RES`.

    "center" and "last" take one pixel of every cell; the others are scikit-image's antialiased
    `resize`. Height and width must be multiples of `factor`.
    """
    if how == "center":
        return sample_centers(image, factor)
    if how == "last":
        return image[factor - 1 :: factor, factor - 1 :: factor]
    rows, cols = (_resizing(size, factor, how) for size in image.shape[:2])
    low = np.einsum("ri,ijc,sj->rsc", rows, image, cols, optimize=True)
    # Bicubic interpolation overshoots at edges; scikit-image clips it, too.
    return np.clip(low, image.min(), image.max()).astype(image.dtype)


@functools.lru_cache(maxsize=16)
def _resizing(size, factor, how):
    """Resizing is linear, so this matrix does it: a thousand crops need it only once."""
    shape = (size // factor, size)
    return resize(np.eye(size), shape, order=ORDERS[how], anti_aliasing=True, clip=False)


def pad_to_multiple(image, factor):
    """Repeat the last row and column until `factor` divides the height and the width."""
    rows, cols = (-size % factor for size in image.shape[:2])
    return np.pad(image, ((0, rows), (0, cols), (0, 0)), mode="edge")


def fill_unknown(target):
    """Unknown (non-finite) pixels get the value of the nearest known one: low-res has no gaps."""
    unknown = ~np.isfinite(target).all(-1)
    if not unknown.any():
        return target
    if unknown.all():
        raise ValueError("every pixel of the target is unknown")
    row, col = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return target[row, col]


def offset_and_scale(low):
    """The numbers that bring a target to [0, 1]: (target - offset) / scale."""
    offset, scale = low.min(), low.max() - low.min()
    if scale == 0:  # a flat image: from half a unit below its value to half a unit above
        offset, scale = offset - 0.5, 1.0
    return float(offset), float(scale)


def rmse(prediction, truth):
    """Root of the mean over pixels of the squared error; pixels of non-finite truth don't count."""
    return float(np.sqrt(_squared_errors(prediction, truth).mean()))


def epe(prediction, truth):
    """Mean length of the error of a flow; pixels of unknown truth don't count."""
    truth = np.where(np.abs(truth) > FLOW_LIMIT, np.nan, truth)
    return float(np.sqrt(_squared_errors(prediction, truth)).mean())


def _squared_errors(prediction, truth):
    """Summed over channels, of the pixels whose truth is known."""
    squared = ((prediction.astype(np.float64) - truth) ** 2).sum(-1)
    return squared[np.isfinite(truth).all(-1)]


def interpolate(low, factor, interpolation):
    """Plain upsampling ("nearest", "bilinear" or "bicubic") with half-pixel centres."""
    size = (low.shape[0] * factor, low.shape[1] * factor)
    return np.asarray(
        keras.ops.image.resize(low, size, interpolation=interpolation, data_format="channels_last")
    )


def upsample(model, low, guide, tile=None):
    """What a joint upsampling network makes of a low-res target and a uint8 RGB guide.

    With `tile`, the image goes through the network in pieces of at most that many low-res rows
    and columns, with as much around them as the network looks at: the result is the same, and the
    memory does not grow with the image.
    """
    offset, scale = offset_and_scale(low)
    factor = guide.shape[0] // low.shape[0]
    rows, cols = low.shape[:2]
    result = np.empty((*guide.shape[:2], low.shape[2]), np.float32)
    for top in range(0, rows, tile or rows):
        for left in range(0, cols, tile or cols):
            bottom, right = min(top + (tile or rows), rows), min(left + (tile or cols), cols)
            first_row, first_col = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
            around = (slice(first_row, bottom + OVERLAP), slice(first_col, right + OVERLAP))
            piece = low[around]
            part = guide[tuple(slice(s.start * factor, s.stop * factor) for s in around)]
            inputs = [((piece - offset) / scale)[None], (part / 255).astype(np.float32)[None]]
            output = np.asarray(model(inputs, training=False))[0].astype(np.float32)
            inside = output[(top - first_row) * factor :, (left - first_col) * factor :]
            height, width = (bottom - top) * factor, (right - left) * factor
            result[top * factor : bottom * factor, left * factor : right * factor] = (
                inside[:height, :width] * scale + offset
            )
    return result

"""Makes low-res targets. Images are (rows, cols, channels), without a batch."""

import functools

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.transform import resize

LOW_RES = ("center", "last", "bilinear", "bicubic", "nearest")
ORDERS = {"nearest": 0, "bilinear": 1, "bicubic": 3}


def sample_centers(image, factor):
    """Low-res image: one pixel of every cell of factor × factor, at index (factor - 1) // 2.

    For an even factor this is half a pixel before the middle of the cell, where interpolation
    takes the value to be. Every method gets the same low-res image.
    """
    first = (factor - 1) // 2
    return image[first::factor, first::factor]


def low_resolution(image, factor, how="center"):
    """The low-res image, `factor` times smaller, made in one of the ways of `LOW_RES`.

    "center" and "last" take one pixel of every cell; the others are scikit-image's antialiased
    `resize`, and "pillow" is Pillow's bicubic one. Height and width must be multiples of `factor`.
    The image is a NumPy array or, in a `tf.data` pipeline, a tensor; the result is of the same
    kind.
    """
    if how == "center":
        return sample_centers(image, factor)
    if how == "last":
        return image[factor - 1 :: factor, factor - 1 :: factor]
    if isinstance(image, np.ndarray):
        einsum, clip = functools.partial(np.einsum, optimize=True), np.clip
        low, high = image.min(), image.max()
    else:
        einsum, clip = tf.einsum, tf.clip_by_value
        low, high = tf.reduce_min(image), tf.reduce_max(image)
    rows, cols = (_resizing(n, factor, how).astype(image.dtype.name) for n in image.shape[:2])
    reduced = einsum("ri,ijc,sj->rsc", rows, image, cols)
    # Bicubic interpolation overshoots at edges; scikit-image clips that, Pillow does not.
    return reduced if how == "pillow" else clip(reduced, low, high)


@functools.lru_cache(maxsize=16)
def _resizing(size, factor, how):
    """The matrix that resizes one axis; kept, since crops have few sizes."""
    shape = (size // factor, size)
    if how == "pillow":
        each = Image.fromarray(np.eye(size, dtype=np.float32))
        return np.asarray(each.resize(shape[::-1], Image.Resampling.BICUBIC))
    return resize(np.eye(size), shape, order=ORDERS[how], anti_aliasing=True, clip=False)


def pad_to_multiple(image, factor):
    """Repeat the last row and column until `factor` divides the height and the width."""
    rows, cols = (-size % factor for size in image.shape[:2])
    return np.pad(image, ((0, rows), (0, cols), (0, 0)), mode="edge")


def crop_back(result, image):
    """Undo `pad_to_multiple`: the part of the result that has the size of the image."""
    return result[: image.shape[0], : image.shape[1]]


def fill_unknown(target):
    """Give unknown (non-finite) pixels the value of the nearest known one."""
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

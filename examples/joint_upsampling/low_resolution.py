"""Makes low-res targets. Images are (rows, cols, channels), without a batch."""

import functools

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.transform import resize

LOW_RES = ("center", "last", "bilinear", "bicubic", "nearest")
PILLOW = {"pillow": Image.Resampling.BICUBIC, "area": Image.Resampling.BOX}
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

    "center" and "last" take one pixel of every cell, "area" their mean; "pillow" is Pillow's
    bicubic reduction. The others are scikit-image's antialiased `resize`. Height and width must be
    multiples of `factor`. The image is a NumPy array or, in a `tf.data` pipeline, a tensor; the
    result is of the same kind.
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
    return reduced if how in PILLOW else clip(reduced, low, high)


@functools.lru_cache(maxsize=16)
def _resizing(size, factor, how):
    """The matrix that resizes one axis; kept, since crops have few sizes."""
    shape = (size // factor, size)
    if how in PILLOW:
        each = Image.fromarray(np.eye(size, dtype=np.float32))
        # Pillow resizes along one axis only: the other keeps its size.
        return np.asarray(each.resize(shape[::-1], PILLOW[how]))
    return resize(np.eye(size), shape, order=ORDERS[how], anti_aliasing=True, clip=False)


def fill_unknown(target):
    """Give unknown (non-finite) pixels the value of the nearest known one."""
    unknown = ~np.isfinite(target).all(-1)
    if not unknown.any():
        return target
    if unknown.all():
        raise ValueError("every pixel of the target is unknown")
    row, col = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return target[row, col]

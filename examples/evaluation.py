"""How upsampling is measured: the low-res input, its scale, the error, and plain interpolation.

Arrays are NumPy, (rows, cols, channels), without a batch.
"""

import keras
import numpy as np


def sample_centers(image, factor):
    """Low-res image: of every cell of factor × factor pixels the one at index (factor - 1) // 2.

    For an even factor that is half a pixel before the middle of the cell. Every method gets the
    same low-res image; interpolation takes its values to lie in the middle.
    """
    first = (factor - 1) // 2
    return image[first::factor, first::factor]


def offset_and_scale(low):
    """The numbers that bring a target to [0, 1]: (target - offset) / scale."""
    offset, scale = low.min(), low.max() - low.min()
    if scale == 0:  # a flat image: from half a unit below its value to half a unit above
        offset, scale = offset - 0.5, 1.0
    return float(offset), float(scale)


def rmse(prediction, truth):
    """Root of the mean over pixels of the squared error; pixels of non-finite truth don't count."""
    squared = ((prediction.astype(np.float64) - truth) ** 2).sum(-1)
    return float(np.sqrt(squared[np.isfinite(truth).all(-1)].mean()))


def interpolate(low, factor, interpolation):
    """Plain upsampling ("nearest", "bilinear" or "bicubic") with half-pixel centres."""
    size = (low.shape[0] * factor, low.shape[1] * factor)
    return np.asarray(
        keras.ops.image.resize(low, size, interpolation=interpolation, data_format="channels_last")
    )


def upsample(model, low, guide):
    """What a joint upsampling network makes of a low-res target and a uint8 RGB guide."""
    offset, scale = offset_and_scale(low)
    inputs = [((low - offset) / scale)[None], (guide / 255).astype(np.float32)[None]]
    return np.asarray(model(inputs, training=False))[0] * scale + offset

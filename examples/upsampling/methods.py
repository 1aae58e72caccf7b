"""Upsampling of one image: by interpolation, or by a network, whole or in pieces.

Arrays are NumPy, (rows, cols, channels), without a batch.
"""

import keras
import numpy as np

from examples.upsampling.low_resolution import offset_and_scale

# In low-res pixels, the farthest that a network of `keras_pac.models` looks is 6 in the branch of
# the target, 2 in the transposed layers together and 2 in the last convolutions. Joint bilateral
# upsampling looks (kernel_size / 2) / factor.
OVERLAP = 10


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

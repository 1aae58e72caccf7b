"""Upsampling of one target: by interpolation, or by a network, whole or in pieces.

Arrays are NumPy, (rows, cols, channels), without a batch.
"""

import math

import keras
import numpy as np

from examples.joint_upsampling.low_resolution import offset_and_scale
from keras_pac.models import DJIF, JointBilateralUpsample, PacJointUpsample


def interpolate(low, factor, interpolation):
    """Plain upsampling ("nearest", "bilinear" or "bicubic") with half-pixel centres."""
    size = (low.shape[0] * factor, low.shape[1] * factor)
    return np.asarray(
        keras.ops.image.resize(low, size, interpolation=interpolation, data_format="channels_last")
    )


def network_inputs(low, guide, offset, scale):
    """The batch of one that a joint upsampling network takes: target and guide in [0, 1]."""
    return [((low - offset) / scale)[None], (guide / 255).astype(np.float32)[None]]


def upsample(model, low, guide, tile=None):
    """What a joint upsampling network makes of a low-res target and a uint8 RGB guide.

    With `tile`, the image goes through the network in pieces of at most that many low-res rows and
    columns, each with all pixels around it that the network reads. The result is the same, and the
    memory does not grow with the image. A network of unknown reach gets the whole image.
    """
    offset, scale = offset_and_scale(low)
    factor = guide.shape[0] // low.shape[0]
    around = reach(model)
    if tile is None or around is None:
        tile, around = max(low.shape[:2]), 0

    def enlarge(part, first=0):
        return slice(factor * (part.start - first), factor * (part.stop - first))

    result = np.empty((*guide.shape[:2], low.shape[2]), np.float32)
    for rows, seen_rows in _pieces(low.shape[0], tile, around):
        for cols, seen_cols in _pieces(low.shape[1], tile, around):
            seen_guide = guide[enlarge(seen_rows), enlarge(seen_cols)]
            inputs = network_inputs(low[seen_rows, seen_cols], seen_guide, offset, scale)
            output = np.asarray(model(inputs, training=False))[0].astype(np.float32)
            inside = output[enlarge(rows, seen_rows.start), enlarge(cols, seen_cols.start)]
            result[enlarge(rows), enlarge(cols)] = inside * scale + offset
    return result


def _pieces(size, tile, around):
    """Pairs of slices: a piece of `size` pixels, and the piece with what is around it."""
    for start in range(0, size, tile):
        stop = min(start + tile, size)
        yield slice(start, stop), slice(max(start - around, 0), min(stop + around, size))


def reach(model):
    """How many low-res pixels beyond its own a pixel of the result depends on; None if unknown.

    The target decides: the guide's convolutions see less, as they work in full resolution.
    """
    if isinstance(model, PacJointUpsample):
        low = _radius(model.branch_t)
        pixels = _radius(model.branch_f)
        for doublings, layer in enumerate(model.up_convts, start=1):
            pixels += _radius([layer]) * model.factor / 2**doublings
    elif isinstance(model, DJIF):
        low = 1  # of the bilinear interpolation
        pixels = _radius([*model.branch_t, *model.branch_joint])
    elif isinstance(model, JointBilateralUpsample):
        low = 0
        pixels = model.kernel_size // 2
    else:
        return None
    return low + math.ceil(pixels / model.factor)


def _radius(layers):
    """How far convolutions that follow each other look, in their own pixels."""
    return sum(layer.kernel_size[0] // 2 for layer in layers)

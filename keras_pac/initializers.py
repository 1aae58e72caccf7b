"""Initializers for pixel-adaptive layers."""

import keras
import numpy as np
from keras import ops

from keras_pac.ops import checks


@keras.saving.register_keras_serializable("keras_pac")
class BilinearUpsampling(keras.initializers.Initializer):
    """Start a transposed convolution as bilinear upsampling, each channel by itself.

    `w_t = max(0, 1 - |t - centre| / strides)` along rows and columns, for equal input and output
    channel, else 0. The centre of an even window lies between two taps.

    Args:
        strides: int or pair of ints, the strides of the layer.
        normalized: bool, whether the layer has `normalize_kernel`: the weights are then scaled
            by the number of taps that meet a real input pixel, so that a constant guide still
            interpolates. Defaults to False.

    Returns:
        When called with a shape (kh, kw, Cout, Cin) and a dtype: a tensor.

    Raises:
        ValueError: for strides that are not positive integers, or a shape without 4 dimensions.

    Example:
        >>> initializer = keras_pac.initializers.BilinearUpsampling(strides=2)
        >>> [float(weight) for weight in initializer((5, 5, 1, 1))[2, :, 0, 0]]
        [0.0, 0.5, 1.0, 0.5, 0.0]

    Reference:
        Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015,
        section 3.3.
    """

    def __init__(self, strides, normalized=False):
        self.strides = checks.pair("strides", strides)
        self.normalized = normalized

    def __call__(self, shape, dtype=None):
        checks.rank("shape", shape, 4)
        rows, columns = (self._weights(size, stride) for size, stride in zip(shape, self.strides))
        weights = np.outer(rows, columns)[:, :, None, None] * np.eye(*shape[2:])
        return ops.convert_to_tensor(weights, dtype or keras.config.floatx())

    def _weights(self, size, stride):
        taps = np.arange(size)
        weights = np.maximum(0, 1 - np.abs(taps - (size - 1) / 2) / stride)
        if self.normalized:
            weights = weights * [np.sum(taps % stride == tap % stride) for tap in taps]
        return weights

    def get_config(self):
        return {"strides": self.strides, "normalized": self.normalized}

"""Joint upsampling by pixel-adaptive transposed convolutions."""

from typing import NamedTuple

import keras
from keras import ops

from keras_pac.layers import PacConv2DTranspose
from keras_pac.models.joint_upsampler import (
    JointUpsampler,
    batch_to_channels,
    build_branch,
    channels_to_batch,
    conv_branch,
    radius,
    run_branch,
)
from keras_pac.ops._geometry.resize import shrink_bilinear


class Filters(NamedTuple):
    """The number of filters of every layer."""

    target: tuple
    guide: tuple
    pac: tuple  # one for each doubling of the size
    fusion: tuple


@keras.saving.register_keras_serializable("keras_pac")
class PacJointUpsample(JointUpsampler):
    """Joint upsampling network of pixel-adaptive transposed convolutions.

    Upsamples each channel of a target (a depth map, a flow field) by `factor` = 2^n, guided by an
    RGB image in full resolution. A branch of three 5x5 convolutions turns the target into
    features, another one the guide. Each of n `PacConv2DTranspose` layers doubles the size of the
    target features, its adapting kernel computed from a slice of 16 guide features of its own.
    Two 5x5 convolutions make the result out of the last features.

    Every channel of the target passes through the network as an image of its own, so the weights
    fit any number of channels. They fit any image size, too, and are created with the model.

    Args:
        factor: int, a power of two from 2 up. How many times larger the result is than the
            target, in height and in width.
        **kwargs: `name`, `trainable` and `dtype` of a `keras.Model`.

    Input shape:
        A list `[target_low, guide]` of two floating-point tensors, best in the range [0, 1]:
        - target_low: (batch, height, width, channels)
        - guide: (batch, factor * height, factor * width, 3)

    Output shape:
        (batch, factor * height, factor * width, channels), in the unit of the target.

    Returns:
        A `keras.Model`, called as `model([target_low, guide])`.

    Raises:
        ValueError: if `factor` is not a power of two from 2 up, or, when called, if the sizes of
            the target and the guide do not fit.

    Example:
        >>> import numpy as np
        >>> from keras_pac.models import PacJointUpsample
        >>> model = PacJointUpsample(4)
        >>> model.count_params()
        183489
        >>> depth, rgb = np.ones((1, 6, 8, 1), "float32"), np.ones((1, 24, 32, 3), "float32")
        >>> tuple(model([depth, rgb]).shape)
        (1, 24, 32, 1)

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.1.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(factor, **kwargs)
        filters = self._filters()
        self.branch_t = conv_branch(filters.target, self.dtype_policy)
        self.branch_g = conv_branch(filters.guide, self.dtype_policy)
        self.up_convts = [
            PacConv2DTranspose(
                n,
                5,
                strides=2,
                padding=2,
                output_padding=1,
                activation="relu",
                data_format="channels_last",
                dtype=self.dtype_policy,
            )
            for n in filters.pac
        ]
        self.branch_f = conv_branch(filters.fusion, self.dtype_policy)
        self.build_for_any_size()

    def _filters(self):
        steps = self.factor.bit_length() - 1
        if steps < 1 or self.factor != 2**steps:
            raise ValueError(
                f"`factor` must be a power of two from 2 up. Received: factor={self.factor}"
            )
        return Filters(
            target=(32, 32, 32), guide=(32, 32, 16 * steps), pac=(32,) * steps, fusion=(32, 1)
        )

    def build(self, input_shape):
        build_branch(self.branch_t, 1)
        build_branch(self.branch_g, 3)
        channels = self.branch_t[-1].filters
        slice_channels = self.branch_g[-1].filters // len(self.up_convts)
        for layer in self.up_convts:
            layer.build([(None, None, None, channels), (None, None, None, slice_channels)])
            channels = layer.filters
        build_branch(self.branch_f, channels)

    def call(self, inputs):
        target_low, guide = self.check_inputs(inputs)
        channels = ops.shape(target_low)[3]
        x = run_branch(self.branch_t, channels_to_batch(target_low))
        slices = ops.split(run_branch(self.branch_g, guide), len(self.up_convts), axis=3)
        reduction = self.factor
        for layer, features in zip(self.up_convts, slices, strict=True):
            reduction //= 2
            if reduction > 1:
                features = shrink_bilinear(features, reduction)
            x = layer([x, ops.repeat(features, channels, axis=0)])
        return batch_to_channels(run_branch(self.branch_f, x), channels)

    @property
    def reach(self):
        # The target decides: the guide's convolutions see less, as they work in full resolution.
        pixels = radius(self.branch_f)
        for doublings, layer in enumerate(self.up_convts, start=1):
            pixels += radius([layer]) * self.factor / 2**doublings
        return self.reach_of(radius(self.branch_t), pixels)

"""DJIF: joint upsampling with plain convolutions, to compare with."""

import keras
from keras import ops

from keras_pac.models.joint_upsampler import (
    JointUpsampler,
    batch_to_channels,
    build_branch,
    channels_to_batch,
    conv_branch,
    radius,
    run_branch,
)
from keras_pac.ops._geometry.resize import enlarge_bilinear


@keras.saving.register_keras_serializable("keras_pac")
class DJIF(JointUpsampler):
    """Deep joint image filtering: a joint upsampling network without PAC, to compare with.

    The target is upsampled bilinearly. It and the guide each pass a branch of three convolutions
    (9x9, 1x1, 5x5) that ends in one feature; three more convolutions of the same sizes make the
    result out of both. There are ReLUs between the convolutions.

    Every channel of the target passes through the network as an image of its own, so the weights
    fit any number of channels. They fit any image size, too, and are created with the model.

    Args:
        factor: int, 1 or more. How many times larger the result is than the target, in height and
            in width.
        **kwargs: `name`, `trainable` and `dtype` of a `keras.Model`.

    Input shape:
        A list `[target_low, guide]` of two floating-point tensors, best in the range [0, 1]:
        - target_low: (batch, height, width, channels)
        - guide: (batch, factor * height, factor * width, 3), at least 5 pixels high and wide

    Output shape:
        (batch, factor * height, factor * width, channels), in the unit of the target.

    Returns:
        A `keras.Model`, called as `model([target_low, guide])`.

    Raises:
        ValueError: if `factor` is not a positive integer, or, when called, if the sizes of the
            target and the guide do not fit.

    Example:
        >>> from keras_pac.models import DJIF
        >>> DJIF(4).count_params()
        56323

    Reference:
        Li, Huang, Ahuja, Yang, Deep Joint Image Filtering, ECCV 2016, section 3.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(factor, **kwargs)
        # With a padding of 2, 9x9 convolutions remove 4 pixels, 1x1 add 4, and 5x5 keep the size.
        sizes = (9, 1, 5)
        self.branch_t = conv_branch((96, 48, 1), self.dtype_policy, sizes, padding="valid")
        self.branch_g = conv_branch((96, 48, 1), self.dtype_policy, sizes, padding="valid")
        self.branch_joint = conv_branch((64, 32, 1), self.dtype_policy, sizes)
        self.build_for_any_size()

    def build(self, input_shape):
        build_branch(self.branch_t, 1)
        build_branch(self.branch_g, 3)
        build_branch(self.branch_joint, 2)

    def compute_output_shape(self, input_shape):
        output_shape = super().compute_output_shape(input_shape)
        if any(n is not None and n < 5 for n in output_shape[1:3]):
            raise ValueError(
                "The first convolution of DJIF needs a guide of at least 5x5 pixels. "
                f"Received: {output_shape[1]}x{output_shape[2]} pixels"
            )
        return output_shape

    def call(self, inputs):
        target_low, guide = self.check_inputs(inputs)
        channels = ops.shape(target_low)[3]
        x = enlarge_bilinear(channels_to_batch(target_low), (self.factor, self.factor))
        x = _run_padded(self.branch_t, x)
        features = ops.repeat(_run_padded(self.branch_g, guide), channels, axis=0)
        x = run_branch(self.branch_joint, ops.concatenate([x, features], axis=3))
        return batch_to_channels(x, channels)

    @property
    def reach(self):
        return self.reach_of(1, radius([*self.branch_t, *self.branch_joint]))  # 1: interpolation


def _run_padded(branch, x):
    for layer in branch:
        x = layer(ops.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))))
    return x

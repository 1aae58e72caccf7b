"""Joint bilateral upsampling as a pixel-adaptive convolution."""

import keras
from keras import ops

from keras_pac.models.joint_upsampler import (
    JointUpsampler,
    batch_to_channels,
    channels_to_batch,
    covering,
)
from keras_pac.ops import (
    adapting_kernel,
    checks,
    pac_conv2d_transpose,
    position_color_features,
)
from keras_pac.ops._implementations.kernel_form import in_float32


@keras.saving.register_keras_serializable("keras_pac")
class JointBilateralUpsample(JointUpsampler):
    """Joint bilateral upsampling: a fixed filter, nothing to train.

    Every pixel of the result is a weighted mean of the target pixels in its window,

        y_i = sum_j K_ij x_j / sum_j K_ij,
        K_ij = exp(-1/2 (scale_space^2 |p_i - p_j|^2 + scale_color^2 |rgb_i - rgb_j|^2)),

    where p is the position in the guide. It is a transposed PAC with a filter of ones and a
    normalised adapting kernel.

    Args:
        factor: int, 1 or more. How many times larger the result is than the target, in height and
            in width.
        kernel_size: int, odd, at least `factor`. Size of the window, in pixels of the guide.
        scale_space: float, positive. Weight of positions, in 1 / pixels of the guide: the
            reciprocal of the filter's standard deviation.
        scale_color: float, positive. Weight of colours, in 1 / units of the guide.
        **kwargs: `name` and `dtype` of a `keras.Model`.

    Input shape:
        A list `[target_low, guide]` of two floating-point tensors:
        - target_low: (batch, height, width, channels)
        - guide: (batch, factor * height, factor * width, 3)

    Output shape:
        (batch, factor * height, factor * width, channels), in the unit of the target.

    Returns:
        A `keras.Model`, called as `model([target_low, guide])`.

    Raises:
        ValueError: if an argument breaks its rule above, or, when called, if the sizes of the
            target and the guide do not fit.

    Example:
        >>> import numpy as np
        >>> from keras_pac.models import JointBilateralUpsample
        >>> model = JointBilateralUpsample(2, kernel_size=3, scale_space=0.1, scale_color=10.0)
        >>> depth = np.array([1.0, 5.0], "float32").reshape(1, 1, 2, 1)
        >>> rgb = np.zeros((1, 2, 4, 3), "float32")
        >>> rgb[:, :, 2:] = 1.0  # a vertical edge
        >>> np.round(np.array(model([depth, rgb]))[0, 0, :, 0], 3).tolist()
        [1.0, 1.0, 5.0, 5.0]

    Reference:
        Kopf, Cohen, Lischinski, Uyttendaele, Joint Bilateral Upsampling, SIGGRAPH 2007; as a PAC:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3.
    """

    def __init__(self, factor, kernel_size, scale_space, scale_color, **kwargs):
        super().__init__(factor, **kwargs)
        checks.window_of_factor(kernel_size, factor)
        checks.positive_number("scale_space", scale_space)
        checks.positive_number("scale_color", scale_color)
        self.kernel_size = kernel_size
        self.scale_space = scale_space
        self.scale_color = scale_color
        self.build_for_any_size()

    def build(self, input_shape):
        """There are no weights."""

    def call(self, inputs):
        target_low, guide = self.check_inputs(inputs)
        geometry = {
            "strides": self.factor,
            **covering(self.kernel_size, self.factor),
            "data_format": "channels_last",
        }
        guide = in_float32(guide)  # float16 is too coarse for the positions
        features = position_color_features(guide, 1 / self.scale_space, 1 / self.scale_color)
        adapting = adapting_kernel(
            features, self.kernel_size, transposed=True, normalize=True, **geometry
        )
        channels = ops.shape(target_low)[3]
        adapting = ops.repeat(ops.cast(adapting, target_low.dtype), channels, axis=0)
        ones = ops.ones((self.kernel_size, self.kernel_size, 1, 1), dtype=target_low.dtype)
        y = pac_conv2d_transpose(channels_to_batch(target_low), adapting, ones, **geometry)
        return batch_to_channels(y, channels)

    @property
    def reach(self):
        return self.reach_of(0, self.kernel_size // 2)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "scale_space": self.scale_space,
            "scale_color": self.scale_color,
        }

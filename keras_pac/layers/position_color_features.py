"""Features of position and colour whose scales are learned."""

import math

import keras
import numpy as np
from keras import ops

from keras_pac.ops import checks, position_color_features
from keras_pac.ops._geometry.layout import image_last, image_to


@keras.saving.register_keras_serializable("keras_pac")
class PositionColorFeatures(keras.layers.Layer):
    """The positions and colours of an image's pixels, divided by trainable scales.

        f = [y / position_scale, x / position_scale, colour / color_scale]

    These are features for a `PacCRF`. The weights are the logarithms of the scales, so that the
    scales stay positive, and training changes them relative to their size, in whatever unit.

    Args:
        color_scale: positive number, the initial scale of colours, in units of the image.
        position_scale: positive number, the initial scale of positions, in pixels; None (default)
            leaves the position out.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Input shape:
        (B, H, W, C), an image of numbers. With channels_first the channels come second.

    Output shape:
        (B, H, W, C), or (B, H, W, 2 + C) with the position. With channels_first (B, 2 + C, H, W).

    Returns:
        A tensor.

    Raises:
        ValueError: if a scale is not a positive number, or, when called, if the input is no image.

    Example:
        >>> from keras_pac.layers import PositionColorFeatures
        >>> layer = PositionColorFeatures(color_scale=0.5, position_scale=10.0)
        >>> layer(keras.ops.ones((1, 4, 6, 3))).shape
        TensorShape([1, 4, 6, 5])
        >>> {name: round(scale, 3) for name, scale in layer.scales().items()}
        {'color_scale': 0.5, 'position_scale': 10.0}

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2
        (arXiv 1904.05373).
    """

    def __init__(self, color_scale, position_scale=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        checks.positive_number("color_scale", color_scale)
        if position_scale is not None:
            checks.positive_number("position_scale", position_scale)
        self.color_scale = color_scale
        self.position_scale = position_scale
        self.data_format = checks.data_format(data_format)

    def build(self, input_shape):
        checks.image("image", tuple(input_shape), self.data_format)
        starts = {"color_scale": self.color_scale, "position_scale": self.position_scale}
        self._log_scales = {
            name: self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(np.float64(math.log(start))),
                name=f"log_{name}",
            )
            for name, start in starts.items()
            if start is not None
        }

    def call(self, image):
        image = image_last(ops.cast(image, self.compute_dtype), self.data_format)
        scales = {name: ops.exp(value) for name, value in self._log_scales.items()}
        return image_to(position_color_features(image, **scales), self.data_format)

    def scales(self):
        """The scales as they are now, a dict of numbers; the layer must have been called."""
        return {
            name: math.exp(float(ops.convert_to_numpy(value)))
            for name, value in self._log_scales.items()
        }

    def compute_output_shape(self, input_shape):
        axis = 3 if self.data_format == "channels_last" else 1
        shape = list(input_shape)
        if self.position_scale is not None and shape[axis] is not None:
            shape[axis] += 2
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "color_scale": self.color_scale,
            "position_scale": self.position_scale,
            "data_format": self.data_format,
        }

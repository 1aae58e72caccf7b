"""Resizes an image to the size of another one."""

import keras
from keras import ops

from keras_pac.ops._geometry.layout import image_last, image_to
from keras_pac.ops._geometry.resize import resize_bilinear


@keras.saving.register_keras_serializable("keras_pac")
class ResizeLike(keras.layers.Layer):
    """An image, resized bilinearly to the size of another one, times a constant.

    Called with [image, other], of any sizes; the result has the channels of the image.
    """

    def __init__(self, data_format, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format
        self.scale = scale

    def call(self, inputs):
        image, other = (image_last(x, self.data_format) for x in inputs)
        image = ops.cast(image, self.compute_dtype)  # an input may hold integers
        image = resize_bilinear(image, ops.shape(other)[1:3])
        return image_to(image * self.scale, self.data_format)

    def compute_output_shape(self, input_shape):
        image, other = map(tuple, input_shape)
        if self.data_format == "channels_last":
            return (*other[:3], image[3])
        return (other[0], image[1], *other[2:])

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format, "scale": self.scale}

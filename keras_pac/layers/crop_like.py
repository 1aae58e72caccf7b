"""Crops an image to the size of another one."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_pac")
class CropLike(layers.Layer):
    """An image (B, H, W, C) from pixel (first, first) on, cropped to the size of another one."""

    def __init__(self, first=0, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def call(self, inputs):
        image, other = inputs
        height, width = ops.shape(other)[1:3]
        return image[:, self.first : self.first + height, self.first : self.first + width]

    def compute_output_shape(self, input_shape):
        image, other = map(tuple, input_shape)
        return (image[0], *other[1:3], image[3])

    def get_config(self):
        return {**super().get_config(), "first": self.first}

"""Pixel-adaptive operations as functions."""

from keras_pac.ops.adapting_kernel import adapting_kernel
from keras_pac.ops.pac_conv2d import pac_conv2d
from keras_pac.ops.pac_conv2d_transpose import pac_conv2d_transpose
from keras_pac.ops.pac_pool2d import pac_pool2d
from keras_pac.ops.position_color_features import position_color_features

__all__ = [
    "adapting_kernel",
    "pac_conv2d",
    "pac_conv2d_transpose",
    "pac_pool2d",
    "position_color_features",
]

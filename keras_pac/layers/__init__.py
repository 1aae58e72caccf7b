"""Pixel-adaptive layers."""

from keras_pac.layers.pac_conv2d import PacConv2D
from keras_pac.layers.pac_conv2d_transpose import PacConv2DTranspose
from keras_pac.layers.pac_pool2d import PacPool2D

__all__ = ["PacConv2D", "PacConv2DTranspose", "PacPool2D"]

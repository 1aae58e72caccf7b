"""Figures that show what layers and functions of the package do; they need matplotlib."""

from keras_pac.visualize.features import features
from keras_pac.visualize.kernels import kernels
from keras_pac.visualize.messages import messages
from keras_pac.visualize.upsampling import upsampling

__all__ = ["features", "kernels", "messages", "upsampling"]

"""Weights that other libraries saved."""

from keras_pac.convert.pacnet import load_pacnet_weights

__all__ = ["load_pacnet_weights"]

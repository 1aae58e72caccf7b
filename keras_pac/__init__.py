"""Pixel-adaptive convolution for Keras."""

from keras_pac import ops
from keras_pac.ops.implementation import (
    get_implementation,
    implementation,
    not_supported_reasons,
    set_implementation,
)

__version__ = "0.1.0"

__all__ = [
    "get_implementation",
    "implementation",
    "not_supported_reasons",
    "ops",
    "set_implementation",
]

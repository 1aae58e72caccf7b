"""Pixel-adaptive convolution for Keras."""

from keras_pac import convert, initializers, layers, models, ops, visualize
from keras_pac.layers import (
    PacConv2D,
    PacConv2DTranspose,
    PacCRF,
    PacCRFLoose,
    PacPool2D,
    PairwiseKernel,
)
from keras_pac.models import upsample
from keras_pac.ops._implementations import (
    get_implementation,
    implementation,
    not_supported_reasons,
    set_implementation,
)
from keras_pac.version import __version__

__all__ = [
    "PacCRF",
    "PacCRFLoose",
    "PacConv2D",
    "PacConv2DTranspose",
    "PacPool2D",
    "PairwiseKernel",
    "convert",
    "get_implementation",
    "implementation",
    "initializers",
    "layers",
    "models",
    "not_supported_reasons",
    "ops",
    "set_implementation",
    "upsample",
    "visualize",
]

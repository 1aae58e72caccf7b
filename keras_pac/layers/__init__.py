"""Pixel-adaptive layers."""

from keras_pac.layers.pac_conv2d import PacConv2D
from keras_pac.layers.pac_conv2d_transpose import PacConv2DTranspose
from keras_pac.layers.pac_crf import PacCRF, PacCRFLoose
from keras_pac.layers.pac_pool2d import PacPool2D
from keras_pac.layers.pairwise_kernel import PairwiseKernel
from keras_pac.layers.pixel_adaptive_refinement import PixelAdaptiveRefinement
from keras_pac.layers.position_color_features import PositionColorFeatures

__all__ = [
    "PacCRF",
    "PacCRFLoose",
    "PacConv2D",
    "PacConv2DTranspose",
    "PacPool2D",
    "PairwiseKernel",
    "PixelAdaptiveRefinement",
    "PositionColorFeatures",
]

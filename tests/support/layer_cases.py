"""A table of layers, and what a test makes of one of them."""

import keras

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D

INVERSE = {"kernel_type": "inverse", "alpha": 0.2, "exponent": 0.4}
LAYERS = {
    "conv": (PacConv2D, {"filters": 3, "kernel_size": 3}),
    "conv options": (
        PacConv2D,
        {
            "filters": 3,
            "kernel_size": (3, 5),
            "strides": (2, 1),
            "padding": ((1, 0), (2, 2)),
            "dilation_rate": (2, 1),
            "asymmetric": True,
            "smoothing": ("learned", 5),
            "normalize_kernel": True,
            "activation": "relu",
            "use_bias": False,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": keras.regularizers.L2(0.1),
            "kernel_constraint": "max_norm",
            **INVERSE,
        },
    ),
    "conv shared": (
        PacConv2D,
        {"filters": 2, "kernel_size": 3, "shared_filters": True, "smoothing": "gaussian"},
    ),
    "conv fixed": (
        PacConv2D,
        {"filters": 3, "kernel_size": 3, "trainable_kernel": False, **INVERSE},
    ),
    "conv strides": (
        PacConv2D,
        {"filters": 3, "kernel_size": 3, "strides": (3, 2), "padding": "same"},
    ),
    "transposed": (
        PacConv2DTranspose,
        {"filters": 3, "kernel_size": 5, "strides": 2, "padding": "same"},
    ),
    "transposed options": (
        PacConv2DTranspose,
        {
            "filters": 3,
            "kernel_size": (3, 5),
            "strides": (2, 3),
            "padding": (1, 2),
            "output_padding": (1, 0),
            "smoothing": ("average", 3),
            "normalize_kernel": True,
            "bias_initializer": "ones",
            "bias_regularizer": "l1",
            **INVERSE,
        },
    ),
    "transposed initializer": (
        PacConv2DTranspose,
        {
            "filters": 2,
            "kernel_size": 3,
            "strides": 2,
            "kernel_initializer": keras_pac.initializers.BilinearUpsampling(2),
        },
    ),
    "pool": (PacPool2D, {"kernel_size": 3, "strides": 2, "padding": "same"}),
    "pool options": (
        PacPool2D,
        {
            "kernel_size": (3, 5),
            "channel_wise": True,
            "dilation_rate": 2,
            "padding": "same",
            **INVERSE,
        },
    ),
}


def layer_of(name, **more):
    """A layer of the table."""
    kind, arguments = LAYERS[name]
    return kind(**arguments, **more)


def inputs_of(name, rng, batch=2, size=(7, 9), channels=2):
    """Random [x, guide] for a layer of the table."""
    x = rng.normal(size=(batch, *size, channels)).astype("float32")
    if "transposed" in name:
        size = layer_of(name).compute_output_shape(x.shape)[1:3]
    return [x, rng.normal(size=(batch, *size, channels)).astype("float32")]


def model_of(name, size=(None, None), batch=None, **more):
    """A functional model of one layer of the table; the guide's size is unknown."""
    inputs = [keras.Input((*size, 2), batch_size=batch), keras.Input((None, None, 2))]
    return keras.Model(inputs, layer_of(name, **more)(inputs))


def shaken(layer, rng):
    """Give every weight of a layer or model another value."""
    for weight in layer.weights:
        weight.assign(weight + rng.uniform(0.01, 0.1, weight.shape))

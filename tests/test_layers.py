"""The layers as Keras layers: shapes, settings, weights, saving, training."""

from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D

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
            "kernel_type": "inverse",
            "asymmetric": True,
            "alpha": 0.2,
            "exponent": 0.4,
            "smoothing": "learned",
            "normalize_kernel": True,
            "activation": "relu",
            "use_bias": False,
            "guide_filters": 4,
        },
    ),
    "conv shared": (
        PacConv2D,
        {"filters": 2, "kernel_size": 3, "shared_filters": True, "smoothing": "gaussian"},
    ),
    "conv fixed kernel": (
        PacConv2D,
        {"filters": 3, "kernel_size": 3, "kernel_type": "inverse", "trainable_kernel": False},
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
            "kernel_type": "inverse",
            "smoothing": "average",
            "normalize_kernel": True,
        },
    ),
    "pool": (PacPool2D, {"kernel_size": 3, "strides": 2, "padding": "same"}),
    "pool options": (
        PacPool2D,
        {
            "kernel_size": (3, 5),
            "kernel_type": "inverse",
            "channel_wise": True,
            "dilation_rate": 2,
            "padding": "same",
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
    shape = layer_of(name).compute_output_shape(x.shape)
    guide_size = shape[1:3] if "transposed" in name else size
    return [x, rng.normal(size=(batch, *guide_size, channels)).astype("float32")]

"""Bad input of a layer gets a ValueError that states the rule and what was received.

Every case runs eagerly, in a `tf.function`, and when a functional model is built.
"""

import keras
import pytest
import tensorflow as tf

from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D
from tests.support.errors import GUIDE, K, X, refused, specified, zeros
from tests.support.layer_cases import INVERSE

SAME = {"padding": "same"}

# name: (layer, shapes or (shape, dtype) of the inputs, keywords, rule, received)
LAYERS = {
    "even kernel size": (lambda: PacConv2D(3, 4), [X], {}, "odd", "kernel_size=4"),
    "even kernel size in one axis": (
        lambda: PacConv2DTranspose(3, (3, 2)),
        [X],
        {},
        "odd",
        "kernel_size=(3, 2)",
    ),
    "zero kernel size": (lambda: PacPool2D(0), [X], {}, "kernel_size", "kernel_size=0"),
    "asymmetric as text": (
        lambda: PacConv2D(3, 3, asymmetric="no"),
        [X],
        {},
        "True or False",
        "asymmetric='no'",
    ),
    "use_bias as a number": (
        lambda: PacConv2D(3, 3, use_bias=1),
        [X],
        {},
        "True or False",
        "use_bias=1",
    ),
    "zero filters": (lambda: PacConv2D(0, 3), [X], {}, "positive", "filters=0"),
    "zero strides": (lambda: PacConv2D(3, 3, strides=0), [X], {}, "at least 1", "strides=0"),
    "zero dilation": (
        lambda: PacConv2D(3, 3, dilation_rate=(1, 0)),
        [X],
        {},
        "at least 1",
        "dilation_rate=(1, 0)",
    ),
    "unknown padding": (
        lambda: PacConv2D(3, 3, padding="full"),
        [X],
        {},
        "padding",
        "padding='full'",
    ),
    "negative padding": (
        lambda: PacConv2D(3, 3, padding=-1),
        [X],
        {},
        "non-negative",
        "padding=-1",
    ),
    "output padding as large as strides": (
        lambda: PacConv2DTranspose(3, 3, strides=2, output_padding=2),
        [X],
        {},
        "smaller than `strides`",
        "output_padding=2",
    ),
    "unknown data format": (
        lambda: PacConv2D(3, 3, data_format="NHWC"),
        [X],
        {},
        "channels_last",
        "NHWC",
    ),
    "guide of another height": (
        lambda: PacConv2D(3, 3),
        [X, (2, 6, 9, 4)],
        {},
        "guide",
        "(2, 6, 9, 4)",
    ),
    "guide of another width": (
        lambda: PacPool2D(3),
        [X, (2, 7, 8, 4)],
        {},
        "guide",
        "(2, 7, 8, 4)",
    ),
    "guide of the input's size in a transposed layer": (
        lambda: PacConv2DTranspose(3, 3, strides=2, padding="same"),
        [X, GUIDE],
        {},
        "guide",
        "(2, 7, 9, 4)",
    ),
    "guide of another batch": (
        lambda: PacConv2D(3, 3),
        [X, (3, 7, 9, 4)],
        {},
        "guide",
        "(3, 7, 9, 4)",
    ),
    "inputs of rank 3": (lambda: PacConv2D(3, 3), [(7, 9, 3)], {}, "4 dimensions", "(7, 9, 3)"),
    "inputs of rank 5": (
        lambda: PacPool2D(3),
        [(2, 7, 9, 3, 1)],
        {},
        "4 dimensions",
        "(2, 7, 9, 3, 1)",
    ),
    "guide of rank 3": (
        lambda: PacConv2D(3, 3),
        [X, (2, 7, 9)],
        {},
        "4 dimensions",
        "(2, 7, 9)",
    ),
    "three inputs": (lambda: PacConv2D(3, 3), [X, GUIDE, GUIDE], {}, "[x, guide]", "3"),
    "filters that are not the channels of shared filters": (
        lambda: PacConv2D(4, 3, shared_filters=True),
        [X],
        {},
        "number of input channels",
        "filters=4",
    ),
    "channel-wise guide of another number of channels": (
        lambda: PacPool2D(3, channel_wise=True),
        [X, GUIDE],
        {},
        "as many channels",
        "4",
    ),
    "unknown kernel type": (
        lambda: PacConv2D(3, 3, kernel_type="laplace"),
        [X],
        {},
        "one of ('gaussian', 'inverse')",
        "laplace",
    ),
    "inverse kernel without exponent": (
        lambda: PacConv2D(3, 3, kernel_type="inverse", alpha=0.1),
        [X],
        {},
        "needs alpha and exponent",
        "exponent=None",
    ),
    "gaussian kernel with alpha": (
        lambda: PacConv2D(3, 3, alpha=0.1),
        [X],
        {},
        "gaussian kernel takes neither",
        "alpha=0.1",
    ),
    "negative exponent": (
        lambda: PacConv2D(3, 3, **{**INVERSE, "exponent": -0.5}),
        [X],
        {},
        "at least 0",
        "exponent=-0.5",
    ),
    "infinite exponent": (
        lambda: PacPool2D(3, **{**INVERSE, "exponent": float("inf")}),
        [X],
        {},
        "finite",
        "exponent=inf",
    ),
    "exponent that is not a number": (
        lambda: PacPool2D(3, **{**INVERSE, "exponent": float("nan")}),
        [X],
        {},
        "finite",
        "exponent=nan",
    ),
    "negative alpha": (
        lambda: PacConv2D(3, 3, **{**INVERSE, "alpha": -1.0}),
        [X],
        {},
        "at least 0",
        "alpha=-1.0",
    ),
    "even smoothing size": (
        lambda: PacConv2D(3, 3, smoothing=("average", 4)),
        [X],
        {},
        "odd",
        "('average', 4)",
    ),
    "smoothing size of nothing": (
        lambda: PacConv2D(3, 3, smoothing=("learned", 0)),
        [X],
        {},
        "at least",
        "('learned', 0)",
    ),
    "unknown smoothing": (
        lambda: PacConv2D(3, 3, smoothing="median"),
        [X],
        {},
        "smoothing",
        "'median'",
    ),
    "zero guide filters": (
        lambda: PacConv2D(3, 3, guide_filters=0),
        [X],
        {},
        "positive",
        "guide_filters=0",
    ),
    "guide filters and a guide": (
        lambda: PacConv2D(3, 3, guide_filters=2),
        [X, GUIDE],
        {},
        "A guide must not be given",
        "guide_filters",
    ),
    "given K of another size": (
        lambda: PacConv2D(3, 3),
        [X],
        {"adapting_kernel": K},
        "(2, 5, 7, 9)",
        "(2, 7, 9, 9)",
    ),
    "given K of other taps": (
        lambda: PacConv2D(3, 3, **SAME),
        [X],
        {"adapting_kernel": (2, 7, 9, 25)},
        "(2, 7, 9, 9)",
        "(2, 7, 9, 25)",
    ),
    "given K of another batch": (
        lambda: PacPool2D(3, **SAME),
        [X],
        {"adapting_kernel": (1, 7, 9, 9)},
        "(2, 7, 9, 9)",
        "(1, 7, 9, 9)",
    ),
    "given K of the input's size in a transposed layer": (
        lambda: PacConv2DTranspose(3, 3, strides=2, **SAME),
        [X],
        {"adapting_kernel": K},
        "(2, 14, 18, 9)",
        "(2, 7, 9, 9)",
    ),
    "given K without channels": (
        lambda: PacPool2D(3, channel_wise=True, **SAME),
        [X],
        {"adapting_kernel": K},
        "(2, 7, 9, 9, 3)",
        "(2, 7, 9, 9)",
    ),
    "given K and a guide": (
        lambda: PacConv2D(3, 3, **SAME),
        [X, GUIDE],
        {"adapting_kernel": K},
        "A guide must not be given",
        "adapting_kernel",
    ),
    "given K and a mask": (
        lambda: PacConv2D(3, 3, **SAME),
        [X],
        {"adapting_kernel": K, "valid_mask": (2, 7, 9, 1)},
        "already contains the mask",
        "adapting_kernel and valid_mask",
    ),
    "mask of another size": (
        lambda: PacConv2D(3, 3),
        [X],
        {"valid_mask": (2, 5, 7, 1)},
        "valid_mask",
        "(2, 5, 7, 1)",
    ),
    "mask of three channels": (
        lambda: PacConv2D(3, 3),
        [X],
        {"valid_mask": X},
        "valid_mask",
        "(2, 7, 9, 3)",
    ),
    "mask of rank 3": (
        lambda: PacConv2D(3, 3),
        [X],
        {"valid_mask": (2, 7, 9)},
        "4 dimensions",
        "(2, 7, 9)",
    ),
    "integer inputs": (lambda: PacConv2D(3, 3), [(X, "int32")], {}, "float32", "int32"),
    "string inputs": (lambda: PacConv2D(3, 3), [(X, "string")], {}, "float32", "string"),
    "boolean guide": (lambda: PacPool2D(3), [X, (GUIDE, "bool")], {}, "float32", "bool"),
    "integer K": (
        lambda: PacPool2D(3, **SAME),
        [X],
        {"adapting_kernel": (K, "int32")},
        "float32",
        "int32",
    ),
    "window larger than the image": (
        lambda: PacConv2D(3, 9),
        [X],
        {},
        "must fit into the padded image",
        "(7, 9)",
    ),
    "window larger than the image through dilation": (
        lambda: PacPool2D(3, dilation_rate=(4, 1)),
        [X],
        {},
        "must fit into the padded image",
        "(7, 9)",
    ),
    "output cropped away": (
        lambda: PacConv2DTranspose(3, 3, padding=6),
        [X],
        {},
        "must fit into the padded image",
        "(7, 9)",
    ),
}


def unpacked(inputs):
    """A single input stands for itself."""
    return inputs[0] if len(inputs) == 1 else inputs


@pytest.mark.parametrize("name", LAYERS)
def test_layers_eagerly(name):
    layer, inputs, keywords, rule, received = LAYERS[name]
    inputs = [zeros(*specified(tensor)) for tensor in inputs]
    keywords = {key: zeros(*specified(tensor)) for key, tensor in keywords.items()}
    with refused(rule, received):
        layer()(unpacked(inputs), **keywords)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_a_function(name):
    layer, inputs, keywords, rule, received = LAYERS[name]

    @tf.function
    def call(inputs, keywords):
        return layer()(unpacked(inputs), **keywords)

    inputs = [zeros(*specified(tensor)) for tensor in inputs]
    keywords = {key: zeros(*specified(tensor)) for key, tensor in keywords.items()}
    with refused(rule, received):
        call(inputs, keywords)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_a_functional_model(name):
    layer, inputs, keywords, rule, received = LAYERS[name]

    def symbolic(tensor):
        shape, dtype = specified(tensor)
        return keras.Input(batch_shape=shape, dtype=dtype)

    inputs = [symbolic(tensor) for tensor in inputs]
    keywords = {key: symbolic(tensor) for key, tensor in keywords.items()}
    with refused(rule, received):
        layer()(unpacked(inputs), **keywords)


@pytest.mark.parametrize("dtype", ["float32", "symbolic"])
def test_a_layer_refuses_other_channels_than_it_was_built_for(dtype):
    layer = PacConv2D(3, 3)
    layer.build(X)
    other = (2, 7, 9, 5)
    with pytest.raises(ValueError, match=r"(?s)3.*\(2, 7, 9, 5\)"):
        layer(keras.Input(batch_shape=other) if dtype == "symbolic" else zeros(other))


def test_the_number_of_channels_has_to_be_known():
    with refused("channels", "(None, 7, 9, None)"):
        PacConv2D(3, 3)(keras.Input((7, 9, None)))


def test_only_pooling_has_a_kernel_for_every_channel():
    with pytest.raises(TypeError, match="channel_wise"):
        PacConv2D(3, 3, channel_wise=True)

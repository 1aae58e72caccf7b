"""The models that are exported: the rows of the table in docs/results/exports.md."""

import functools
import sys
from unittest import mock

import keras
import numpy as np

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D, PairwiseKernel
from keras_pac.models import FCN8s, LearnedBilateralUpsample, swap_conv2d, with_pac_crf
from tests.support.tolerances import assert_close

# The int8 converter leaves weights of fewer than 1024 numbers as they are, so each model has more.


def sequential(image):
    return keras.Sequential(
        [
            image,
            PacConv2D(16, 3, padding="same", activation="relu", guide_filters=8),
            PacConv2D(16, 3, strides=2, padding="same", activation="relu", guide_filters=8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def conv(x, guide):
    y = PacConv2D(16, 5, strides=2, padding="same")([x, guide])
    return keras.Model([x, guide], y)


def transposed(x, guide):
    y = PacConv2DTranspose(16, 5, strides=2, padding="same")([x, guide])
    return keras.Model([x, guide], y)


def pooling(x, guide):
    features = keras.layers.Conv2D(48, 3, padding="same")(guide)  # the pooling has no weights
    y = PacPool2D(3, strides=2, padding="same", normalize_kernel=True)([x, features])
    return keras.Model([x, guide], y)


def crf(image):
    y = keras.layers.Conv2D(40, 3, strides=2, padding="same", activation="relu")(image)
    network = keras.Model(image, keras.layers.Conv2D(5, 1)(y))
    kernels = [PairwiseKernel(5, "potts", dilation_rate=2), PairwiseKernel(3, "4d")]
    return with_pac_crf(network, kernels, color_scale=1.0, position_scale=8, steps=2)


def joint_upsampling(target, guide):
    network = LearnedBilateralUpsample(4, weights="scenes")
    if None in guide.shape[1:3]:
        return network
    return keras.Model([target, guide], network([target, guide]))


def fcn8s(image):
    module = sys.modules[FCN8s.__module__]
    blocks = tuple((count, 12) for count, _ in module.BLOCKS)
    with mock.patch.multiple(module, BLOCKS=blocks, FC_FILTERS=12):
        model = FCN8s(classes=5, input_shape=image.shape[1:])
    return swap_conv2d(model, ["conv3_3", "conv5_3"], guide="conv2_2", scale=1.0)


# Of each input: its channels, and its size as a multiple of the first one's.
MODELS = {
    "Sequential": (sequential, [(3, 1)]),
    "conv": (conv, [(8, 1), (3, 1)]),
    "transposed": (transposed, [(8, 1), (3, 2)]),
    "pooling": (pooling, [(8, 1), (3, 1)]),
    "CRF": (crf, [(3, 1)]),
    "joint upsampling (`LearnedBilateralUpsample`)": (joint_upsampling, [(1, 1), (3, 4)]),
    "FCN-8s with swapped layers": (fcn8s, [(3, 1)]),
}
# For each kind: the sizes of the images that the exported model gets, batch first.
SIZES = {"fixed size": [(2, 12, 14)], "unknown sizes": [(1, 12, 14), (2, 17, 11)]}


def build(name, kind):
    """The model, its weights not yet made random."""
    function, inputs = MODELS[name]
    height, width = SIZES[kind][0][1:] if kind == "fixed size" else (None, None)
    return function(
        *(
            keras.Input((height and height * scale, width and width * scale, channels), name=letter)
            for letter, (channels, scale) in zip("ab", inputs)
        )
    )


@functools.cache
def case(name, kind):
    """(model, list of inputs, list of what the definition computes for them in float64)."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    model = build(name, kind)
    if "joint" not in name:  # that one is trained
        for weight in model.weights:
            weight.assign(weight + rng.normal(0, 0.05, weight.shape))
    all_inputs = [
        [
            rng.uniform(size=(batch, height * scale, width * scale, channels)).astype("float32")
            for channels, scale in MODELS[name][1]
        ]
        for batch, height, width in SIZES[kind]
    ]
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        definition = build(name, kind)
    finally:
        keras.config.set_dtype_policy(policy)
    definition.set_weights(model.get_weights())
    with keras_pac.implementation("patches"):
        expected = [np.asarray(definition(one_or_list(inputs))) for inputs in all_inputs]
    for inputs, output in zip(all_inputs, expected):
        assert output.dtype == "float64"
        # Keras writes an ONNX file only of a model that has been called.
        assert_close(model(one_or_list(inputs)), output, "float32")
    return model, all_inputs, expected


def one_or_list(inputs):
    """What a model of these inputs is called with."""
    return inputs if len(inputs) > 1 else inputs[0]

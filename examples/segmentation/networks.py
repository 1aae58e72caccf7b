"""The networks that can be trained: two small ones, FCN-8s, and trained ones with PAC in them."""

import json

import keras
import numpy as np
from keras import layers, ops

from examples.training.errors import UserError, explained
from examples.training.networks import read_network
from keras_pac import models
from keras_pac.layers.resize_like import ResizeLike

# A window of 5 x 5 pixels that are `dilation_rate` pixels apart. With a larger weight the messages
# of the 24 neighbours outweigh the network at first.
WINDOW = {"kernel_size": 5, "dilation_rate": 16, "weight": 0.1}
CRFS = {
    "potts": [{**WINDOW, "compatibility": "potts"}],
    "2d": [{**WINDOW, "compatibility": "2d"}],
    "4d": [{**WINDOW, "compatibility": "4d"}],
    "two": [
        {**WINDOW, "compatibility": "4d", "weight": 0.05},
        {**WINDOW, "compatibility": "4d", "weight": 0.05, "dilation_rate": 64},
    ],
}


def make_network(name, classes, padding, weights):
    """A network that takes RGB images of 0 to 255 and returns logits."""
    if name == "FCN8s":
        return fcn8s(classes, padding, weights)
    return {"small": small, "coarse": coarse}[name](classes)


def convolve(x, filters, name, dilation=1):
    """A 3 x 3 convolution, batch normalization and ReLU."""
    x = layers.Conv2D(
        filters, 3, padding="same", dilation_rate=dilation, use_bias=False, name=name
    )(x)
    x = layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def halve(x, name):
    return layers.MaxPooling2D(2, padding="same", name=name)(x)


def image_input():
    image = keras.Input((None, None, 3), name="image")
    return image, layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(image)


def small(classes):
    """An encoder and a decoder with skip connections, for two processor cores; 0.5 M weights.

    The image is halved three times. `conv4_2` to `conv4_4` are dilated and so see far around
    themselves. Images may have any size.

    Layers: `conv1_1`, `conv2_1`, `conv2_2`, … `conv4_4` of the encoder, `up3`, `up2`, `up1` of
    the decoder, each with `…_norm` and `…_relu` after it, and `classifier`.
    """

    def enlarge(x, skip, filters, name):
        x = ResizeLike("channels_last", name=f"{name}_resize")([x, skip])
        x = layers.Concatenate(name=f"{name}_concat")([x, skip])
        return convolve(x, filters, name)

    image, x = image_input()
    skip1 = convolve(x, 16, "conv1_1")
    x = convolve(halve(skip1, "pool1"), 32, "conv2_1")
    skip2 = convolve(x, 32, "conv2_2")
    x = convolve(halve(skip2, "pool2"), 64, "conv3_1")
    skip3 = convolve(x, 64, "conv3_2")
    x = convolve(halve(skip3, "pool3"), 96, "conv4_1")
    for number, dilation in ((2, 2), (3, 4), (4, 2)):
        x = convolve(x, 96, f"conv4_{number}", dilation)
    for skip, filters, name in ((skip3, 64, "up3"), (skip2, 32, "up2"), (skip1, 16, "up1")):
        x = enlarge(x, skip, filters, name)
    return keras.Model(image, layers.Conv2D(classes, 1, name="classifier")(x), name="small")


def coarse(classes):
    """FCN-8s in small: logits at an eighth of the resolution, enlarged bilinearly; 0.6 M weights.

    The image is halved four times. The logits are those of `conv5_3`, at a sixteenth, enlarged to
    an eighth, plus those of `conv4_2`. As with FCN-8s, no finer features reach the logits, so
    regions have soft borders. Images may have any size.

    Layers: `conv1_1`, `conv2_1`, `conv2_2`, … `conv5_3`, each with `…_norm` and `…_relu` after it,
    and `score4`, `score5`.
    """
    image, x = image_input()
    x = halve(convolve(x, 16, "conv1_1"), "pool1")
    for block, filters in ((2, 32), (3, 64), (4, 96)):
        x = convolve(convolve(x, filters, f"conv{block}_1"), filters, f"conv{block}_2")
        skip, x = x, halve(x, f"pool{block}")
    for number, dilation in ((1, 1), (2, 2), (3, 4)):
        x = convolve(x, 128, f"conv5_{number}", dilation)
    finer, coarser = (
        layers.Conv2D(classes, 1, name=name)(features)
        for name, features in (("score4", skip), ("score5", x))
    )
    coarser = ResizeLike("channels_last", name="score5_resize")([coarser, finer])
    logits = layers.Add(name="score")([finer, coarser])
    logits = ResizeLike("channels_last", name="logits")([logits, image])
    return keras.Model(image, logits, name="coarse")


def fcn8s(classes, padding, weights):
    """`keras_pac.models.FCN8s` for RGB images of 0 to 255, which it turns into VGG-16's input."""
    try:
        network = models.FCN8s(classes, padding=padding, weights=weights)
    except Exception as error:  # Keras raises many kinds on a broken file or download
        if weights is None:
            raise
        raise UserError(f"--weights {weights} cannot be read: {error}") from error
    first = network.layers[1].name

    def call(layer, *args, **kwargs):
        if layer.name == first:
            blue_green_red = ops.flip(args[0], axis=-1)
            means = [-103.939, -116.779, -123.68]
            args = (layers.Rescaling(1.0, offset=means, name="rescaling")(blue_green_red),)
        return layer(*args, **kwargs)

    # The copy has the same layers; only the input of the first one is another.
    return keras.models.clone_model(network, clone_function=lambda x: x, call_function=call)


def load_network(path):
    """The network in a .keras file: it must take one image and return logits."""
    network = read_network(path)
    # A subclassed model has no such attributes.
    tensors = [
        tensor for name in ("inputs", "outputs") for tensor in getattr(network, name, None) or []
    ]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    fits = len(shapes) == 2 and all(len(s) == 4 for s in shapes) and shapes[0][3] == 3
    if not fits or shapes[1][3] == 1:
        raise UserError(
            f"{path} is no segmentation network: it must take RGB images and return logits, "
            f"(batch, rows, cols, channels), of 2 classes or more. Its shapes are {shapes}"
        )
    return network


def check_output_size(network):
    """Raise a UserError unless the logits have the size of the image, whatever that is."""
    size = [fixed or free for fixed, free in zip(network.inputs[0].shape[1:3], (33, 50))]
    logits = network(np.zeros((1, *size, 3), np.float32), training=False)
    if list(logits.shape[1:3]) != size:
        raise UserError(
            f"{network.name} is no segmentation network: its logits must have the size of the "
            f"image. For {size} they have {list(logits.shape[1:3])}"
        )


class AsInInference(keras.Model):
    """Trains a network that does what it does in inference: its norms keep their statistics.

    Batch normalization with the statistics of a few crops gives other logits than the network
    gives later; nothing is dropped out, either.

    Args:
        network: the network.
        front: a part of it that is not trained, or None.
    """

    def __init__(self, network, front=None):
        super().__init__()
        self.network = network
        for variable in front.trainable_variables if front else ():
            variable.trainable = False  # which a file doesn't keep: it can be trained later on

    def call(self, images):
        return self.network(images, training=False)

    def save(self, path):
        self.network.save(path)


def count_classes(network):
    return network.outputs[0].shape[3]


def swap(network, layer_names, guide, scale):
    with explained("--swap: ", ValueError):
        return models.swap_conv2d(network, layer_names, guide, scale=scale)


def pairwise_kernels(text):
    """The kernels of `--crf`, which is one of `CRFS` or JSON."""
    if text in CRFS:
        return CRFS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"--crf must be one of {', '.join(CRFS)}, or pairwise kernels as JSON: {error}. "
            f"Received: {text}"
        ) from error


def add_crf(network, args):
    """The network with the CRF of `args` behind it."""
    with explained("--crf: ", ValueError):
        return models.with_pac_crf(
            network,
            pairwise_kernels(args.crf),
            color_scale=_one_or_each(args.color_scale),
            position_scale=args.position_scale and _one_or_each(args.position_scale),
            steps=args.mean_field_steps,
            loose=args.loose,
        )


def _one_or_each(scales):
    return scales[0] if len(scales) == 1 else scales

"""What all joint upsampling networks have in common."""

import math

import keras
from keras import layers, ops

from keras_pac.ops import checks


class JointUpsampler(keras.Model):
    """Base class: a low-resolution target and a full-resolution RGB guide in, the target in full
    resolution out.

    A subclass creates its layers in `__init__`, calls `self.build_for_any_size()` at its end, and
    implements `build` and `call`.
    """

    def __init__(self, factor, **kwargs):
        checks.positive_integer("factor", factor)
        super().__init__(**kwargs)
        self.factor = int(factor)

    def build_for_any_size(self):
        """Make the weights, and tell `export` the shapes of the inputs.

        No weight depends on the images. If the first call built the model, an exported model would
        accept only images of that call's size.
        """
        self([keras.Input((None, None, None)), keras.Input((None, None, 3))])

    def compute_output_shape(self, input_shape):
        target, guide = map(tuple, checks.target_and_guide("shapes", input_shape))
        checks.rank("target_low", target, 4)
        checks.rank("guide", guide, 4)
        size = tuple(None if n is None else self.factor * n for n in target[1:3])
        reference = f"`target_low` of shape {target}, {self.factor} times as large, in RGB"
        checks.same_size("guide", guide, (target[0], *size, 3), reference)
        return (target[0], *size, target[3])

    def check_inputs(self, inputs):
        """Return (target_low, guide), or raise a ValueError that says what is wrong with them."""
        target, guide = checks.target_and_guide("tensors", inputs)
        self.compute_output_shape((target.shape, guide.shape))
        for name, tensor in (("target_low", target), ("guide", guide)):
            checks.check_float(name, tensor.dtype)
        return target, guide

    @property
    def reach(self):
        """How many low-res pixels beyond its own a pixel of the result depends on; None: all."""
        return None

    def reach_of(self, low, pixels):
        """The reach, given that in pixels of the target and that in pixels of the result."""
        return low + math.ceil(pixels / self.factor)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def conv_branch(filters, dtype, kernel_sizes=None, padding="same"):
    """Return convolutions, 5x5 by default, with a ReLU after each but the last."""
    activations = ["relu"] * (len(filters) - 1) + [None]
    options = {"padding": padding, "data_format": "channels_last", "dtype": dtype}
    return [
        layers.Conv2D(n, size, activation=activation, **options)
        for n, size, activation in zip(
            filters, kernel_sizes or [5] * len(filters), activations, strict=True
        )
    ]


def build_branch(branch, channels):
    """Build the convolutions of a branch whose input has `channels` channels."""
    for layer in branch:
        layer.build((None, None, None, channels))
        channels = layer.filters


def radius(layers):
    """How far convolutions that follow each other look, in their own pixels."""
    return sum(layer.kernel_size[0] // 2 for layer in layers)


def run_branch(branch, x):
    for layer in branch:
        x = layer(x)
    return x


def covering(kernel_size, factor):
    """The padding with which a transposed window makes `factor` pixels of each input pixel."""
    beyond = kernel_size - factor
    return {"padding": 1 + (beyond - 1) // 2, "output_padding": beyond % 2}


def channels_to_batch(x):
    """Make every channel an image of its own: (B, H, W, C) to (B * C, H, W, 1)."""
    _, height, width, _ = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, height, width, 1))


def batch_to_channels(x, channels):
    """Undo `channels_to_batch`: (B * C, H, W, 1) to (B, H, W, C)."""
    _, height, width, _ = ops.shape(x)
    return ops.transpose(ops.reshape(x, (-1, channels, height, width)), (0, 2, 3, 1))

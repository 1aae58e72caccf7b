"""What all joint upsampling networks have in common."""

import keras
from keras import layers, ops

from keras_pac.ops import checks


class JointUpsampler(keras.Model):
    """Base class: a low-resolution target and a full-resolution RGB guide in, the target in full
    resolution out.

    A subclass creates its layers in `__init__`, ends that with `self.build_for_any_size()`, and
    implements `build` and `call`.
    """

    def __init__(self, factor, **kwargs):
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(f"`factor` must be a positive integer. Received: factor={factor!r}")
        super().__init__(**kwargs)
        self.factor = factor

    def build_for_any_size(self):
        """Make the weights, and tell `export` the shapes of the inputs.

        No weight depends on the images, so there is no need to wait for the first ones, whose
        size would otherwise become the only one that an exported model accepts.
        """
        self([keras.Input((None, None, None)), keras.Input((None, None, 3))])

    def compute_output_shape(self, input_shape):
        target, guide = _pair("shapes", input_shape)
        target, guide = tuple(target), tuple(guide)
        if len(target) != 4 or len(guide) != 4:
            raise ValueError(
                "`target_low` must have shape (batch, height, width, channels) and `guide` "
                f"(batch, factor * height, factor * width, 3). "
                f"Received: target_low.shape={target}, guide.shape={guide}"
            )
        if not _may_be_equal(guide[3], 3):
            raise ValueError(f"`guide` must have 3 channels (RGB). Received: guide.shape={guide}")
        if not _may_be_equal(target[0], guide[0]):
            raise ValueError(
                "`target_low` and `guide` must have the same batch size. "
                f"Received: target_low.shape={target}, guide.shape={guide}"
            )
        size = tuple(None if n is None else self.factor * n for n in target[1:3])
        if not all(map(_may_be_equal, guide[1:3], size)):
            raise ValueError(
                "The height and width of `guide` must be `factor` times those of `target_low`. "
                f"Received: factor={self.factor}, target_low.shape={target}, guide.shape={guide}"
            )
        return (target[0], *size, target[3])

    def check_inputs(self, inputs):
        """Return (target_low, guide), or raise a ValueError that says what is wrong with them."""
        target, guide = _pair("tensors", inputs)
        self.compute_output_shape((target.shape, guide.shape))
        for name, tensor in (("target_low", target), ("guide", guide)):
            checks.check_float(name, tensor.dtype)
        return target, guide

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def _pair(what, value):
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(
            f"A joint upsampling model is called with two {what}, `[target_low, guide]`. "
            f"Received: {value}"
        )
    return value


def _may_be_equal(size, other):
    return size is None or other is None or size == other


def conv_branch(filters, dtype):
    """Return 5x5 convolutions with a ReLU after each but the last."""
    activations = ["relu"] * (len(filters) - 1) + [None]
    return [
        layers.Conv2D(n, 5, padding="same", activation=a, data_format="channels_last", dtype=dtype)
        for n, a in zip(filters, activations, strict=True)
    ]


def build_branch(branch, channels):
    """Build the convolutions of a branch, the first of which gets `channels` channels."""
    for layer in branch:
        layer.build((None, None, None, channels))
        channels = layer.filters


def run_branch(branch, x):
    for layer in branch:
        x = layer(x)
    return x


def channels_to_batch(x):
    """Make every channel an image of its own: (B, H, W, C) to (B * C, H, W, 1)."""
    _, height, width, _ = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, height, width, 1))


def batch_to_channels(x, channels):
    """Undo `channels_to_batch`: (B * C, H, W, 1) to (B, H, W, C)."""
    _, height, width, _ = ops.shape(x)
    return ops.transpose(ops.reshape(x, (-1, channels, height, width)), (0, 2, 3, 1))

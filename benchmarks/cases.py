"""The suite: every case makes a PAC layer and Keras's own layer of the same arguments."""

from dataclasses import dataclass

import keras
import tensorflow as tf

import keras_pac


@dataclass(frozen=True)
class Case:
    """A layer and the size of its images: float32, channels last, padding 'same'."""

    name: str
    batch: int
    height: int
    width: int
    channels: int
    filters: int
    guide_channels: int
    kernel_size: int
    dilation_rate: int = 1
    strides: int = 1
    transposed: bool = False

    @property
    def input_shape(self):
        return (self.batch, self.height, self.width, self.channels)

    @property
    def guide_shape(self):
        return self.output_shape[:3] + (self.guide_channels,)

    @property
    def output_shape(self):
        # Only transposed cases have strides.
        return (self.batch, self.height * self.strides, self.width * self.strides, self.filters)

    def keras_layer(self):
        """Return a layer that is called with x."""
        cls = keras.layers.Conv2DTranspose if self.transposed else keras.layers.Conv2D
        layer = cls(**self._arguments())
        layer.build(self.input_shape)
        return layer

    def pac_layer(self):
        """Return a layer that is called with [x, guide]."""
        cls = keras_pac.PacConv2DTranspose if self.transposed else keras_pac.PacConv2D
        layer = cls(**self._arguments())
        layer.build([self.input_shape, self.guide_shape])
        return layer

    def _arguments(self):
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": "same",
            "dilation_rate": self.dilation_rate,
            "data_format": "channels_last",
        }


SUITE = [
    Case("upsample-128", 1, 128, 128, 32, 32, guide_channels=16, kernel_size=5),
    Case("upsample-256", 1, 256, 256, 32, 32, guide_channels=16, kernel_size=5),
    Case("thin", 1, 480, 640, 16, 16, guide_channels=16, kernel_size=5),
    Case("classic", 4, 64, 64, 64, 64, guide_channels=32, kernel_size=3),
    Case("hot-swap", 4, 56, 56, 256, 256, guide_channels=64, kernel_size=3),
    Case("crf", 1, 375, 500, 21, 21, guide_channels=3, kernel_size=5, dilation_rate=16),
    Case("transposed", 1, 120, 160, 32, 32, 16, kernel_size=5, strides=2, transposed=True),
]


def forward(layer):
    """Return a graph function that runs the layer on its inputs, x or [x, guide]."""
    return tf.function(layer, jit_compile=False)


def training_step(layer):
    """Return a graph function that runs the layer and computes all its gradients.

    It takes the inputs and the gradient that the rest of a network passes back. It returns the
    output too: the gradients of a plain convolution don't need it, and unused it would not be
    computed.
    """

    @tf.function(jit_compile=False)
    def run(inputs, upstream_gradient):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs)
        sources = [inputs, [weight.value for weight in layer.trainable_weights]]
        return y, tape.gradient(y, sources, output_gradients=upstream_gradient)

    return run

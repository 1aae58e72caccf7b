"""The suite: every case builds a PAC layer and Keras's own layer of the same arguments."""

from dataclasses import dataclass

import keras
import tensorflow as tf

import keras_pac


@dataclass(frozen=True)
class Case:
    """A layer and the images it gets: float32, channels last, padding 'same'."""

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

    def keras_layer(self):
        layers = keras.layers
        layer = (layers.Conv2DTranspose if self.transposed else layers.Conv2D)(**self._arguments())
        layer.build(self._input_shape())
        return layer

    def pac_layer(self):
        layer = (keras_pac.PacConv2DTranspose if self.transposed else keras_pac.PacConv2D)(
            **self._arguments()
        )
        layer.build([self._input_shape(), self._output_shape(self.guide_channels)])
        return layer

    def keras_inputs(self):
        """Return [x]."""
        return [keras.random.normal(self._input_shape(), seed=1)]

    def pac_inputs(self):
        """Return [x, guide]."""
        # Neighbours differ by about 1, as in a trained network: K is neither 0 nor 1 everywhere.
        scale = (2 * self.guide_channels) ** -0.5
        guide = scale * keras.random.normal(self._output_shape(self.guide_channels), seed=2)
        return [*self.keras_inputs(), guide]

    def upstream_gradient(self):
        """Return what the rest of a network would pass back to the layer."""
        return keras.random.normal(self._output_shape(self.filters), seed=3)

    def _arguments(self):
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": "same",
            "dilation_rate": self.dilation_rate,
            "data_format": "channels_last",
        }

    def _input_shape(self):
        return (self.batch, self.height, self.width, self.channels)

    def _output_shape(self, channels):
        factor = self.strides if self.transposed else 1
        return (self.batch, factor * self.height, factor * self.width, channels)


SUITE = [
    Case("upsample-128", 1, 128, 128, 32, 32, guide_channels=16, kernel_size=5),
    Case("upsample-256", 1, 256, 256, 32, 32, guide_channels=16, kernel_size=5),
    Case("thin", 1, 480, 640, 16, 16, guide_channels=16, kernel_size=5),
    Case("classic", 4, 64, 64, 64, 64, guide_channels=32, kernel_size=3),
    Case("hot-swap", 4, 56, 56, 256, 256, guide_channels=64, kernel_size=3),
    Case("crf", 1, 375, 500, 21, 21, guide_channels=3, kernel_size=5, dilation_rate=16),
    Case(
        "transposed", 1, 120, 160, 32, 32, guide_channels=16, kernel_size=5, strides=2,
        transposed=True,
    ),
]  # fmt: skip


def forward(layer):
    """Return a graph function of the layer's inputs that runs the layer."""

    @tf.function(jit_compile=False)
    def run(inputs):
        return layer(inputs if len(inputs) > 1 else inputs[0])

    return run


def training_step(layer):
    """Return a graph function that runs the layer and computes all its gradients.

    It takes the inputs and the upstream gradient, and returns the output (or the forward pass of
    a plain convolution, whose gradients don't need it, would be optimised away) and the gradients
    by every input and weight.
    """

    @tf.function(jit_compile=False)
    def run(inputs, upstream_gradient):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs if len(inputs) > 1 else inputs[0])
        weights = [weight.value for weight in layer.trainable_weights]
        return y, tape.gradient(y, [*inputs, *weights], output_gradients=upstream_gradient)

    return run

"""How each backend of Keras runs a layer as a user's training does: compiled graphs, or eagerly.

Each class has the same methods:

    forward(layer) -> function(inputs)
    training_step(layer) -> function(inputs, upstream_gradient) that computes all gradients too
    wait(result): until it is computed

A training step returns the output as well: the gradients of a plain convolution don't need it, and
unused it would not be computed.
"""

import keras


class TensorFlow:
    """Graph functions without XLA."""

    def forward(self, layer):
        import tensorflow as tf

        return tf.function(layer, jit_compile=False)

    def training_step(self, layer):
        import tensorflow as tf

        @tf.function(jit_compile=False)
        def step(inputs, upstream_gradient):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                y = layer(inputs)
            sources = [inputs, [weight.value for weight in layer.trainable_weights]]
            return y, tape.gradient(y, sources, output_gradients=upstream_gradient)

        return step

    def wait(self, result):
        import tensorflow as tf

        tf.test.experimental.sync_devices()


class Jax:
    """`jax.jit`, with the weights as arguments."""

    def forward(self, layer):
        import jax

        run = jax.jit(lambda weights, inputs: layer.stateless_call(weights, [], inputs)[0])
        return lambda inputs: run([weight.value for weight in layer.trainable_weights], inputs)

    def training_step(self, layer):
        import jax

        @jax.jit
        def step(weights, inputs, upstream_gradient):
            def output(weights, inputs):
                return layer.stateless_call(weights, [], inputs)[0]

            y, pull_back = jax.vjp(output, weights, inputs)
            return y, pull_back(upstream_gradient)

        return lambda inputs, upstream_gradient: step(
            [weight.value for weight in layer.trainable_weights], inputs, upstream_gradient
        )

    def wait(self, result):
        import jax

        jax.block_until_ready(result)


class Torch:
    """Eager calls."""

    def forward(self, layer):
        import torch

        def run(inputs):
            with torch.no_grad():
                return layer(inputs)

        return run

    def training_step(self, layer):
        import torch

        def step(inputs, upstream_gradient):
            inputs = keras.tree.map_structure(lambda x: x.detach().requires_grad_(), inputs)
            y = layer(inputs)
            weights = [weight.value for weight in layer.trainable_weights]
            sources = [*keras.tree.flatten(inputs), *weights]
            return y, torch.autograd.grad(y, sources, upstream_gradient)

        return step

    def wait(self, result):
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def current():
    """That of the backend that Keras runs on."""
    return {"tensorflow": TensorFlow, "jax": Jax, "torch": Torch}[keras.backend.backend()]()

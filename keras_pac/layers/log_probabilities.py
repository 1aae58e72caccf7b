"""Probabilities as logits."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_pac")
class LogProbabilities(keras.layers.Layer):
    """Logarithms of probabilities; those smaller than Keras's epsilon count as epsilon."""

    def call(self, probabilities):
        return ops.log(ops.maximum(probabilities, keras.config.epsilon()))

    def compute_output_shape(self, input_shape):
        return input_shape

"""Gradients of a `Case` by TensorFlow's tape."""

import tensorflow as tf

from tests.support.runners import run_ops


def tensors_of(case, dtype):
    """The arrays of a case as tensors."""
    return {name: tf.constant(array, dtype) for name, array in case.arrays.items()}


def ops_with_gradients(case, dtype):
    """Return (y, K, output_mask, gradients by name) by the functional ops."""
    tensors = tensors_of(case, dtype)
    watched = {name: tensors[name] for name in case.gradients}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        y, adapting, output_mask = run_ops(case, tensors)
    grad_y = tf.constant(case.grad_y, dtype)
    return y, adapting, output_mask, tape.gradient(y, watched, output_gradients=grad_y)

"""Golden cases, layers and a training step on the backend that KERAS_BACKEND names.

`test_backends.py` runs this in a process of its own. Prints one line a check; stops at the first
failure.
"""

import keras
import numpy as np
from cases import load_golden
from runners import run_ops
from tolerances import assert_close

GOLDEN = [
    "conv_inv_asym_norm_avg5",
    "conv_mask_normalized",
    "conv_precomputed_kernel",
    "conv_shared_filters",
    "conv_smooth_full3",
    "conv_stride2_dilation2",
    "convt_inv",
    "convt_mask",
    "convt_normalized",
    "convt_stride4",
    "pool_channel_wise_inv",
    "pool_dilation2",
]


def jax_gradients(function, arrays):
    """Value and gradients of a scalar function of named arrays, by JAX."""
    import jax

    value, gradients = jax.value_and_grad(function)(arrays)
    return value, gradients


def torch_gradients(function, arrays):
    """Value and gradients of a scalar function of named arrays, by PyTorch."""
    import torch

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    value = function(tensors)
    gradients = torch.autograd.grad(value, list(tensors.values()))
    return value.detach(), dict(zip(tensors, gradients, strict=True))


def tensorflow_gradients(function, arrays):
    """Value and gradients of a scalar function of named arrays, by TensorFlow."""
    import tensorflow as tf

    tensors = {name: tf.constant(array) for name, array in arrays.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return value, tape.gradient(value, tensors)


def check_golden(name, gradients_of):
    """Values and gradients of one golden file through the ops, in float64."""
    case = load_golden(name)
    given = {key: case.arrays[key].copy() for key in case.gradients}
    fixed = {key: array for key, array in case.arrays.items() if key not in given}
    y, _, output_mask = run_ops(case, {**given, **fixed})
    assert_close(keras.ops.convert_to_numpy(y), case.y, "float64", "y")
    if case.output_mask is not None:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output_mask), case.output_mask)

    def loss(tensors):
        return keras.ops.sum(run_ops(case, {**fixed, **tensors})[0] * case.grad_y)

    _, gradients = gradients_of(loss, given)
    for key, expected in case.gradients.items():
        actual = keras.ops.convert_to_numpy(gradients[key])
        assert_close(actual, expected, "float64", f"gradient of {key}")
    print("golden", name)

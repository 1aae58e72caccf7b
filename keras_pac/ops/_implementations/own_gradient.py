"""`keras.ops.custom_gradient`, also where a backend needs more than that."""

import contextlib
import contextvars

import keras
from keras import ops

if keras.backend.backend() == "torch":
    import torch
elif keras.backend.backend() == "jax":
    from keras_pac.ops._implementations.mesh_axes import varying_alike

_left_out = contextvars.ContextVar("left_out", default=False)


def own_gradient(function):
    """Decorate `function(*tensors)`, which returns y and the function that gives its gradients."""
    decorated = ops.custom_gradient(function)

    def call(*tensors):
        # The tracer of PyTorch can't record one, and what it makes is not trained.
        if _left_out.get() or (keras.backend.backend() == "torch" and torch.jit.is_tracing()):
            return function(*tensors)[0]
        if keras.backend.backend() == "jax":
            tensors = varying_alike(tensors)
        return decorated(*tensors)

    return call


@contextlib.contextmanager
def own_gradients_left_out():
    """Inside, the backend differentiates by itself: JAX's forward mode takes no other functions."""
    token = _left_out.set(True)
    try:
        yield
    finally:
        _left_out.reset(token)

"""Graphs: unknown sizes, an empty batch, XLA."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from tests.support.cases import IMAGES, OPERATIONS, make_case
from tests.support.differentiate import ops_with_gradients, tensors_of
from tests.support.runners import run_ops
from tests.support.tolerances import assert_close, assert_gradients_close


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_empty_batch_gives_an_empty_batch(implementation, operation, rng):
    case = make_case(rng, operation, strides=(2, 1), smoothing=3, masked=True)
    expected = case.y.shape[1:]
    case.arrays = {
        name: array[:0] if name in IMAGES else array for name, array in case.arrays.items()
    }
    case.grad_y = case.grad_y[:0]
    case.gradients = case.arrays
    if implementation == "patches":
        # TensorFlow's own gradient of extract_patches has no empty batch.
        with pytest.raises(tf.errors.InvalidArgumentError, match="UnsortedSegmentSum"):
            ops_with_gradients(case, "float32")
        case.gradients = {}
        assert ops_with_gradients(case, "float32")[0].shape == (0, *expected)
        return
    y, _, _, gradients = ops_with_gradients(case, "float32")
    assert y.shape == (0, *expected)
    for name in ("x", "guide"):
        assert gradients[name].shape == case.arrays[name].shape
    if operation != "pool":
        assert not np.any(gradients["kernel"])


OPTIONS = {"kind": "inverse", "normalize": True, "smoothing": 3, "kernel_size": (3, 5)}

TRACED = [
    ("conv", {"padding": "same", "strides": (2, 3)}),
    ("transposed", {"padding": "same", "strides": (2, 2)}),
    ("pool", {"padding": "valid", "strides": (2, 1), "normalize": True}),
]

# Large graphs: tracing and compiling them takes a minute a case.
TRACED += [
    pytest.param(operation, {**OPTIONS, **geometry}, marks=pytest.mark.slow)
    for operation, geometry in [
        ("conv", {"padding": "same"}),
        ("conv", {"padding": "same", "strides": (2, 3), "masked": True}),
        ("conv", {"padding": "valid", "strides": (2, 1), "dilation_rate": (2, 1)}),
        ("conv", {"padding": ((0, 1), (2, 1)), "strides": (2, 2)}),
        ("transposed", {"padding": "same", "strides": (2, 3)}),
        ("transposed", {"padding": "valid", "strides": (2, 2), "masked": True}),
        ("transposed", {"padding": (1, 0), "strides": (2, 2), "output_padding": (1, 0)}),
        ("transposed", {"padding": "valid", "strides": (2, 2), "dilation_rate": (2, 1)}),
        ("pool", {"padding": "same", "strides": (2, 3), "channel_wise": True}),
        ("pool", {"padding": "valid", "strides": (2, 2)}),
    ]
]


def unknown_sizes(tensor, name):
    """A tensor specification that fixes the channels of an image, and all of a weight."""
    shape = (None, None, None, tensor.shape[-1]) if name in IMAGES else tensor.shape
    return tf.TensorSpec(shape, tensor.dtype)


def traced(case, tensors, **options):
    """A tf.function of (tensors, grad_y) that gives y, K and the gradients."""

    @tf.function(**options)
    def function(tensors, grad_y):
        with tf.GradientTape() as tape:
            watched = {name: tensors[name] for name in case.sources}
            tape.watch(watched)
            y, adapting, _ = run_ops(case, tensors)
        return y, adapting, tape.gradient(y, watched, output_gradients=grad_y)

    return function


@pytest.mark.parametrize("operation, options", TRACED)
def test_unknown_sizes_give_what_known_sizes_give(implementation, operation, options, rng):
    case = make_case(rng, operation, size=(6, 7), batch=2, **options)
    tensors = tensors_of(case, "float64")
    signature = {name: unknown_sizes(tensor, name) for name, tensor in tensors.items()}
    grad_y = unknown_sizes(tf.constant(case.grad_y), "x")
    function = traced(case, tensors, input_signature=[signature, grad_y])
    for size in ((6, 7), (7, 9)):
        other = make_case(rng, operation, size=size, batch=2, **options)
        other.gradients = other.sources
        tensors = tensors_of(other, "float64")
        y, adapting, gradients = function(tensors, tf.constant(other.grad_y))
        _, _, _, eager = ops_with_gradients(other, "float64")
        assert_close(y, other.y, "float64", "y")
        assert_close(adapting, other.adapting_kernel, "float64", "adapting kernel")
        assert_gradients_close(gradients, eager, "float64")
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("operation, options", TRACED)
def test_taps_under_xla_gives_what_eager_gives(operation, options, rng):
    case = make_case(rng, operation, size=(6, 7), batch=2, **options)
    case.gradients = case.sources
    tensors = tensors_of(case, "float64")
    with keras_pac.implementation("taps"):
        function = traced(case, tensors, jit_compile=True)
        y, adapting, gradients = function(tensors, tf.constant(case.grad_y))
        _, _, _, eager = ops_with_gradients(case, "float64")
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    assert_gradients_close(gradients, eager, "float64")

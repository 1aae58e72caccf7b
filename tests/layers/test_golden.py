"""All reference cases through every layer and implementation."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.cases import GOLDEN_NAMES, load_golden
from tests.support.runners import WEIGHTS, golden_layer
from tests.support.tolerances import assert_close, assert_gradients_close


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_layers(implementation, name, dtype):
    case = load_golden(name)
    layer = golden_layer(name, dtype)
    inputs = {
        key: tf.constant(array, dtype) for key, array in case.arrays.items() if key not in WEIGHTS
    }
    calls = {key: inputs[key] for key in ("adapting_kernel", "valid_mask") if key in inputs}
    images = [inputs[key] for key in ("x", "guide") if key in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = layer(images, **calls)
        if case.output_mask is not None:
            y, output_mask = y
            np.testing.assert_array_equal(output_mask, case.output_mask)
    assert y.dtype == dtype
    assert_close(y, case.y, dtype, "y")
    weights = {key: getattr(layer, attribute, None) for key, attribute in WEIGHTS.items()}
    trained = {id(weight): key for key, weight in weights.items() if weight is not None}
    trained = {trained[id(weight)]: weight for weight in layer.trainable_variables}
    sources = {**inputs, **{key: weight.value for key, weight in trained.items()}}
    sources.pop("valid_mask", None)
    grad_y = tf.constant(case.grad_y, dtype)
    gradients = tape.gradient(y, sources, output_gradients=grad_y)
    assert_gradients_close(gradients, case.gradients, dtype)

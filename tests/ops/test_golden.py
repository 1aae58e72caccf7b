"""All reference cases through every implementation, by the ops and by the layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from tests.support.cases import GOLDEN_NAMES, load_golden
from tests.support.differentiate import ops_with_gradients
from tests.support.runners import WEIGHTS, golden_layer
from tests.support.tolerances import assert_close

DTYPES = ["float64", "float32"]


def check_gradients(gradients, case, dtype):
    """Every gradient of the file."""
    assert set(gradients) == set(case.gradients)
    for name, expected in case.gradients.items():
        assert_close(gradients[name], expected, dtype, f"gradient of {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_ops(implementation, name, dtype):
    case = load_golden(name)
    y, adapting, output_mask, gradients = ops_with_gradients(case, dtype)
    assert y.dtype == dtype
    assert_close(y, case.y, dtype, "y")
    if case.adapting_kernel is not None:
        assert_close(adapting, case.adapting_kernel, dtype, "adapting kernel")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)
    check_gradients(gradients, case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
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
    check_gradients(tape.gradient(y, sources, output_gradients=grad_y), case, dtype)


@pytest.mark.parametrize("name", ["convt_linear_init", "convt_linear_init_normalized"])
def test_bilinear_initializer(name):
    case = load_golden(name)
    initializer = keras_pac.initializers.BilinearUpsampling(
        case.geometry["strides"], normalized=case.options["normalize"]
    )
    kernel = initializer(case.arrays["kernel"].shape, "float64")
    assert_close(kernel, case.arrays["kernel"], "float64", "kernel")
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(again(kernel.shape, "float64"), kernel)

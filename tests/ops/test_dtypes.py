"""Float16, bfloat16 and float32 stay near the definition in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pac import PacConv2D, ops
from tests.support.cases import OPERATIONS, make_case
from tests.support.differentiate import ops_with_gradients
from tests.support.oracle import oracle_gradients, run_oracle
from tests.support.tolerances import assert_close


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_dtype_stays_near_the_oracle(implementation, operation, dtype, rng):
    case = make_case(rng, operation, (5, 3), (6, 5), strides=(2, 1), kind="inverse", normalize=True)
    # What the operation sees are the rounded numbers.
    case.arrays = {
        name: np.asarray(tf.cast(tf.constant(array, dtype), "float64"))
        for name, array in case.arrays.items()
    }
    case.grad_y = np.asarray(tf.cast(tf.constant(case.grad_y, dtype), "float64"))
    expected, expected_adapting, _ = run_oracle(case, case.arrays)
    case.gradients = oracle_gradients(case)
    y, adapting, _, gradients = ops_with_gradients(case, dtype)
    assert y.dtype == adapting.dtype == dtype
    assert_close(tf.cast(adapting, "float64"), expected_adapting, dtype, "adapting kernel")
    assert_close(tf.cast(y, "float64"), expected, dtype, "y")
    for name, wanted in case.gradients.items():
        assert gradients[name].dtype == dtype
        assert_close(tf.cast(gradients[name], "float64"), wanted, dtype, f"gradient of {name}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["gaussian", "inverse"])
@pytest.mark.parametrize("normalize", [False, True])
def test_distances_too_large_for_float16_are_no_trouble(implementation, dtype, kind, normalize):
    # Differences of 300 and more: their squares are beyond float16's 65504.
    guide = tf.constant(np.arange(25).reshape(1, 5, 5, 1) * 300, dtype)
    numbers = {"alpha": 0.1, "exponent": 0.5} if kind == "inverse" else {}
    options = {"kind": kind, "padding": "same", "normalize": normalize, **numbers}
    with tf.GradientTape() as tape:
        tape.watch(guide)
        adapting = ops.adapting_kernel(guide, 3, **options)
        loss = tf.reduce_sum(adapting)
    wide = tf.cast(guide, "float64")
    expected = ops.adapting_kernel(wide, 3, **options)
    assert_close(tf.cast(adapting, "float64"), expected, dtype)
    assert np.all(np.isfinite(tf.cast(tape.gradient(loss, guide), "float64")))


def test_small_distances_are_not_lost_in_float16(implementation):
    # Squared, 2e-4 is far below the smallest float16 number; a hundred channels of it are not.
    guide = np.zeros((1, 3, 3, 100))
    guide[0, 1, 1] = 2e-4
    options = {"kind": "inverse", "alpha": 0.0, "exponent": 1.0}
    adapting = ops.adapting_kernel(tf.constant(guide, "float16"), 3, **options)
    rounded = np.asarray(tf.cast(tf.constant(guide, "float16"), "float64"))
    expected = ops.adapting_kernel(rounded, 3, **options)
    assert_close(adapting, expected, "float16")


def test_a_guide_of_a_narrower_type_costs_no_precision(implementation, rng):
    """K is computed in float32, whatever the guide is stored in."""
    x = tf.constant(rng.normal(size=(1, 6, 5, 3)), "float32")
    guide = tf.constant(rng.normal(size=(1, 6, 5, 2)), "float16")
    layer = PacConv2D(4, 3, autocast=False)
    expected = layer([x, tf.cast(guide, "float32")])
    assert_close(layer([x, guide]), expected, "float32")

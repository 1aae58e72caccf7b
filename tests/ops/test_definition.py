"""Random cases, masks and borders: what the definition in float64 gives."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.cases import IMAGES, OPERATIONS, make_case, random_case
from tests.support.differentiate import ops_with_gradients, tensors_of
from tests.support.runners import run_ops, to_channels_first
from tests.support.tolerances import assert_close, assert_gradients_close


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_geometry_gives_what_the_oracle_gives(implementation, operation, seed):
    case = random_case(operation, seed)
    y, adapting, output_mask, gradients = ops_with_gradients(case, "float64")
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)
    assert_gradients_close(gradients, case.gradients, "float64")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_channels_first_is_channels_last_transposed(implementation, operation, seed):
    case = random_case(operation, seed)
    tensors = {
        name: tf.constant(to_channels_first(array) if name in IMAGES else array, "float64")
        for name, array in case.arrays.items()
    }
    with tf.GradientTape() as tape:
        watched = {name: tensors[name] for name in case.gradients}
        tape.watch(watched)
        y, _, output_mask = run_ops(case, tensors, "channels_first")
    gradients = tape.gradient(y, watched, output_gradients=to_channels_first(case.grad_y))
    assert_close(y, to_channels_first(case.y), "float64", "y")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, to_channels_first(case.output_mask))
    for name, expected in case.gradients.items():
        expected = to_channels_first(expected) if name in IMAGES else expected
        assert_close(gradients[name], expected, "float64", f"gradient of {name}")


def test_a_centre_outside_the_guide_has_no_features(implementation, rng):
    case = make_case(rng, "conv", size=(3, 4), padding=((3, 2), (2, 3)), kernel_size=(3, 3))
    y, adapting, _ = run_ops(case, tensors_of(case, "float64"))
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")


def test_the_output_mask_of_a_channel_wise_kernel_has_one_channel(implementation, rng):
    options = {"channel_wise": True, "normalize": True, "masked": True, "kind": "inverse"}
    case = make_case(rng, "pool", **options)
    y, adapting, output_mask = run_ops(case, tensors_of(case, "float64"))
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    assert output_mask.shape == (*case.y.shape[:3], 1)
    np.testing.assert_array_equal(output_mask, case.output_mask)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_empty_mask_gives_zeros(implementation, operation, rng):
    for normalize in (False, True):
        case = make_case(rng, operation, normalize=normalize, bias=False)
        case.arrays["valid_mask"] = np.zeros((1, 5, 4, 1))
        case.gradients = case.arrays
        y, adapting, output_mask, gradients = ops_with_gradients(case, "float64")
        assert not np.any(y) and not np.any(adapting) and not np.any(output_mask)
        for name in ("x", "guide"):
            assert not np.any(gradients[name]), name

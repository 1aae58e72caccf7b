"""Two runs give the same bits."""

import numpy as np
import pytest

from tests.support.cases import OPERATIONS, make_case
from tests.support.differentiate import ops_with_gradients


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_runs_are_bitwise_equal(implementation, operation, rng):
    case = make_case(rng, operation, size=(17, 19), batch=3, channels=8, strides=(2, 1))
    case.gradients = case.arrays
    first, second = (ops_with_gradients(case, "float32") for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    for name, gradient in first[3].items():
        np.testing.assert_array_equal(gradient, second[3][name], name)

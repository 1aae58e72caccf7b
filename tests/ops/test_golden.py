"""All reference cases through the functions, on every implementation."""

import numpy as np
import pytest

from tests.support.cases import GOLDEN_NAMES, load_golden
from tests.support.differentiate import ops_with_gradients
from tests.support.tolerances import assert_close, assert_gradients_close


@pytest.mark.parametrize("dtype", ["float64", "float32"])
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
    assert_gradients_close(gradients, case.gradients, dtype)

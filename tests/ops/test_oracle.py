"""The oracle itself against the reference numbers, since the other tests rely on it."""

import numpy as np
import pytest

from tests.support.cases import GOLDEN_NAMES, load_golden
from tests.support.oracle import gradient_of, oracle_loss, run_oracle
from tests.support.tolerances import assert_close


def test_all_golden_files_are_there():
    assert len(GOLDEN_NAMES) == 42


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_oracle_gives_the_golden_numbers(name):
    case = load_golden(name)
    y, adapting, output_mask = run_oracle(case, case.arrays)
    assert_close(y, case.y, "float64", "y")
    if case.adapting_kernel is not None:
        assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_oracle_gives_the_golden_gradients(name):
    case = load_golden(name)
    assert case.gradients
    rng = np.random.default_rng(0)
    for key, expected in case.gradients.items():
        direction = rng.normal(size=expected.shape)
        loss = oracle_loss(case, key)
        slope = loss(case.arrays[key] + 1e-30j * direction).imag / 1e-30
        assert_close(slope, (expected * direction).sum(), "float64", key)


def test_gradient_of_a_known_function():
    array = np.array([[1.0, 2.0], [3.0, -4.0]])
    result = gradient_of(lambda a: (a**3).sum(), array)
    np.testing.assert_allclose(result, 3 * array**2, rtol=1e-14)

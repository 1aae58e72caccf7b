"""The reference of the core: its formulae of gradients against an imaginary step through it.

What the reference computes forward is held to the golden files in `tests/ops/test_oracle.py`.
"""

import itertools

import numpy as np
import pytest

from custom_ops.harness import reference
from custom_ops.harness.cases import Case
from tests.support.tolerances import assert_close

INPUTS = ("x", "adapting_kernel", "guide", "center", "alpha", "exponent", "filter", "bias")
STEP = 1e-30


def cases_with(name):
    """Random problems in float64 that have an input of this name, none of them empty."""
    for seed in itertools.count():
        case = Case(seed, ["float64"])
        if name in case.inputs and all(array.size for array in case.inputs.values()):
            yield case


def weighted_result(case, inputs):
    """The sum of the result times `upstream`, whose gradients the reference has formulae for."""
    if case.function == "windowed_sum":
        result = reference.windowed_sum(case.sizes.of_gradient(), inputs)
    else:
        result, _ = reference.adapting_kernel(case.sizes, inputs)
    return np.sum(result * inputs["upstream"])


@pytest.mark.parametrize("name", INPUTS)
def test_gradients_are_those_of_an_imaginary_step(name, rng):
    functions = set()
    for case in itertools.islice(cases_with(name), 30):
        gradient = getattr(reference, f"{case.function}_gradient")(case.sizes, case.inputs)[name]
        direction = rng.normal(size=gradient.shape)
        moved = {**case.inputs, name: case.inputs[name] + 1j * STEP * direction}
        slope = weighted_result(case, moved).imag / STEP
        terms = gradient * direction
        # The terms may cancel: the error is relative to the sum of their sizes.
        size = np.abs(terms).sum()
        assert_close([slope, size], [terms.sum(), size], "float64", str(case))
        functions.add(case.function)
    both = name in ("guide", "center", "alpha", "exponent")
    assert functions == ({"windowed_sum", "adapting_kernel"} if both else {"windowed_sum"})

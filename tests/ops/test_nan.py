"""A NaN in the guide stays local."""

import numpy as np
import pytest

from tests.support.cases import OPERATIONS, make_case
from tests.support.differentiate import ops_with_gradients
from tests.support.tolerances import assert_close


def within(size, centre, reach):
    """True at pixels no farther from `centre` than `reach` in rows and in columns."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (abs(rows - centre[0]) <= reach[0]) & (abs(columns - centre[1]) <= reach[1])


@pytest.mark.parametrize("centre", [(4, 5), (0, 0), (8, 9)])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nan_in_the_guide_stays_local(implementation, operation, normalize, centre, rng):
    if operation == "transposed":
        size, geometry, reach = (5, 5), {"strides": (2, 2)}, (1, 2)
    else:
        size, geometry, reach = (9, 10), {"dilation_rate": (2, 1)}, (2, 2)
    case = make_case(rng, operation, (3, 5), size, normalize=normalize, **geometry)
    out = case.y.shape[1:3]
    centre = tuple(min(c, n - 1) for c, n in zip(centre, out, strict=True))
    case.gradients = case.arrays
    clean_y, _, _, clean = ops_with_gradients(case, "float64")
    case.arrays["guide"][(0, *centre, 0)] = np.nan
    y, _, _, gradients = ops_with_gradients(case, "float64")
    assert np.isnan(y.numpy()[(0, *centre)]).all()
    far = ~within(out, centre, reach)
    assert_close(y.numpy()[0, far], clean_y.numpy()[0, far], "float64", "y")
    # In a normalised window the NaN reaches all taps, so the gradient is NaN one reach farther.
    far = ~within(out, centre, [r * (2 if normalize else 1) for r in reach])
    assert far.any()
    actual, wanted = gradients["guide"].numpy()[0], clean["guide"].numpy()[0]
    assert_close(actual[far], wanted[far], "float64", "gradient of the guide")
    if operation == "transposed":
        # Input pixel i lies at output pixel 2 i + 1.
        far = far[1::2, 1::2]
    actual, wanted = gradients["x"].numpy()[0], clean["x"].numpy()[0]
    assert_close(actual[far], wanted[far], "float64", "gradient of x")

"""How far a result may be from its reference: one table, and the one comparison that reads it."""

import numpy as np

# Largest error allowed anywhere, as a share of the largest reference value.
RELATIVE = {
    # The project's own promise; rounding alone stays near 1e-15.
    "float64": 1e-9,
    # The project's own promise: 80 roundings of 2**-24, enough for sums over all pixels.
    "float32": 1e-5,
    # A sum over 25 taps that rounds to 2**-11 after every tap is off by a few times 2**-11.
    "float16": 5e-3,
    # The same sum with the eight bits of bfloat16: 2**-8 a rounding.
    "bfloat16": 4e-2,
    # Half of the 11 or 8 bits of these types are left after the 7 layers of a network.
    "float16 network": 0.02,
    "bfloat16 network": 0.1,
    # Central differences in float64 with a step of 1e-5: the third derivative leaves 1e-10 and
    # the subtraction 1e-16 / 1e-5 = 1e-11, each times the curvature of the power near zero.
    "finite differences": 1e-6,
}

# What rounding in float64 makes of a reference that is zero on paper.
ROUNDED_ZERO = 1e-12


def assert_close(actual, expected, dtype, what="result", terms=None):
    """Compare two arrays: same shape, and the error within `RELATIVE[dtype]`.

    The error is relative to the largest reference value, or absolute where the reference is zero
    throughout (all test data are of order one: up to `ROUNDED_ZERO` it is). A NaN is an error.
    Where terms may cancel in all results, `terms` are their sums without signs: the error is then
    relative to the largest of these, as rounding is.
    """
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    if expected.size == 0:
        return
    error = relative_error(actual, expected, terms)
    assert error <= RELATIVE[dtype], f"{what}: relative error {error:.2e} in {dtype}"


def relative_error(actual, expected, terms=None):
    """The largest error as a share of the largest reference value, see `assert_close`."""
    scale = np.abs(expected if terms is None else terms).max()
    return np.abs(actual - expected).max() / (scale if scale > ROUNDED_ZERO else 1.0)


def assert_gradients_close(gradients, expected, dtype):
    """Compare the gradients of the same names."""
    assert set(gradients) == set(expected), f"gradients of {set(gradients)}, not {set(expected)}"
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, dtype, f"gradient of {name}")

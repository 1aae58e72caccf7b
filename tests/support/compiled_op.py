"""Arguments of the compiled op itself, and whether it is built."""

import numpy as np
import pytest

import keras_pac

BUILT = not keras_pac.not_supported_reasons("compiled")
needs_op = pytest.mark.skipif(not BUILT, reason="the compiled op is not built")


def absent(dtype="float32"):
    return np.zeros(0, dtype)


def ones(*shape):
    return np.ones(shape, "float32")


# Two images of 5 x 4, 3 channels to 6, guide of 2 channels, windows of 3 x 3, padding 1.
SUM = {
    "x": ones(2, 5, 4, 3),
    "adapting_kernel": absent(),
    "guide": ones(2, 5, 4, 2),
    "center": absent(),
    "alpha": absent(),
    "exponent": absent(),
    "filter": ones(3, 3, 3, 6),
    "bias": ones(6),
    "output_size": [5, 4],
    "padding": [1, 1],
    "kernel_size": [3, 3],
}
GIVEN = {**SUM, "guide": absent(), "adapting_kernel": ones(2, 5, 4, 9, 1)}
INVERSE = {**SUM, "kernel_type": "inverse", "alpha": ones(1), "exponent": ones(1)}
KERNEL = {
    "guide": ones(2, 5, 4, 2),
    "center": absent(),
    "valid_mask": absent(),
    "alpha": absent(),
    "exponent": absent(),
    "input_size": [5, 4],
    "output_size": [5, 4],
    "padding": [1, 1],
    "kernel_size": [3, 3],
}

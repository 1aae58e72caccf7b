"""How a property is run: with which implementations, on how many examples, against what."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac.ops._implementations import NAMES
from tests.support.cases import OPERATIONS
from tests.support.differentiate import tensors_of
from tests.support.oracle import run_oracle
from tests.support.runners import run_ops
from tests.support.tolerances import assert_close


def _implementation(name):
    reasons = keras_pac.not_supported_reasons(name)
    return pytest.param(
        name, marks=pytest.mark.skipif(bool(reasons), reason=f"{name}: {' '.join(reasons)}")
    )


# One that does not run here is skipped with its reasons.
each_implementation = pytest.mark.parametrize("name", [_implementation(name) for name in NAMES])
# `patches` is the definition that gradients are compared with.
each_but_patches = pytest.mark.parametrize(
    "name", [_implementation(name) for name in NAMES if name != "patches"]
)
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


def examples(few, many):
    """Run a test on a few examples, and on many in the slow part."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


def check(count, *strategies):
    """Decorate a function to call it, at once, on `count` examples of its arguments."""

    def run(function):
        hypothesis.settings(max_examples=count)(hypothesis.given(*strategies)(function))()

    return run


def run(name, case, dtype="float64"):
    """(y, K, output mask) of a case by one implementation."""
    with keras_pac.implementation(name):
        return run_ops(case, tensors_of(case, dtype))


def gradients_of(function, sources):
    """{name: gradient} of the sum of squares of what `function` returns, a list of tensors.

    Unlike a plain sum this gives every element a slope of its own.
    """
    with tf.GradientTape() as tape:
        tape.watch(sources)
        loss = sum(tf.reduce_sum(tf.square(tensor)) for tensor in function())
    return tape.gradient(loss, sources, unconnected_gradients="zero")


def sum_of_terms(case):
    """What the terms of each output add up to without their signs."""
    return run_oracle(case, {name: np.abs(array) for name, array in case.arrays.items()})[0]


def assert_is_oracle(case, result, dtype):
    """Compare (y, K, output mask) with those of the oracle."""
    y, adapting, output_mask = result
    assert_close(y, case.y, dtype, "y", terms=sum_of_terms(case))
    if case.adapting_kernel is not None:
        assert_close(adapting, case.adapting_kernel, dtype, "adapting kernel")
    assert (output_mask is None) == (case.output_mask is None)
    if output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)

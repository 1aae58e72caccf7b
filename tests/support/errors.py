"""Inputs that are wrong in shape or type, and the error that they should give."""

import re

import pytest
import tensorflow as tf

X, GUIDE = (2, 7, 9, 3), (2, 7, 9, 4)

K = (2, 7, 9, 9)


def zeros(shape, dtype="float32"):
    """A tensor of zeros, or of empty strings."""
    return tf.fill(shape, "") if dtype == "string" else tf.zeros(shape, dtype)


def specified(specification):
    """A (shape, dtype), from one or from a shape alone, which means float32."""
    return specification if isinstance(specification[0], tuple) else (specification, "float32")


def refused(rule, received):
    """Expect a ValueError with the rule, and after it what was received."""
    pattern = f"(?s){re.escape(rule)}.*Received.*{re.escape(received)}"
    return pytest.raises(ValueError, match=pattern)

"""Every test of the package runs once for each implementation in `IMPLEMENTATIONS`."""

import keras
import numpy as np
import pytest

import keras_pac
from tests.support.implementations import IMPLEMENTATIONS


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    """Select an implementation for one test."""
    with keras_pac.implementation(request.param):
        yield request.param


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_start():
    """Start every test with the same initial weights and the default policy."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    # A fixture of the next module may be made before the next test starts.
    keras.config.set_dtype_policy("float32")

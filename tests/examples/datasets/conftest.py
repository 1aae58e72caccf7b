"""Where the data sets of a test are prepared."""

import functools

import pytest

from tests.support.small_datasets import load_by_name


@pytest.fixture
def load(tmp_path):
    """`datasets.load` into a folder of the test; the examples in a dictionary by name."""
    return functools.partial(load_by_name, tmp_path / "prepared")

"""Drawn scenes instead of a data set."""

import pytest

from examples.joint_upsampling import data
from tests.support.joint_upsampling_child import open_drawn


@pytest.fixture
def drawn(monkeypatch):
    """`--data drawn` gives drawn scenes."""
    monkeypatch.setattr(data, "open_dataset", open_drawn)

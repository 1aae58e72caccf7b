"""What the tests of both programs share."""

import pytest


@pytest.fixture(params=["kept", "read anew"])
def kept_or_read_anew(request, monkeypatch):
    """Once with the images in memory, once with more images than are kept there."""
    if request.param == "read anew":
        monkeypatch.setattr("examples.training.data.CACHE_BYTES", 0)

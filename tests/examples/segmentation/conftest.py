"""Drawn images instead of a data set, and networks to start from."""

import keras
import pytest

from examples.segmentation import data
from tests.support.segmentation_child import CLASSES, open_drawn
from tests.support.segmentation_program import NEW, OPTIONS, run_program


@pytest.fixture
def drawn(monkeypatch):
    """`--data drawn` gives drawn images."""
    monkeypatch.setattr(data, "open_dataset", open_drawn)


@pytest.fixture
def tiny(tmp_path):
    """The file of a network that has what the real ones have, dropout too, and is built at once."""
    layers = [keras.layers.Conv2D(4, 3, padding="same", use_bias=False)]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    layers += [keras.layers.Conv2D(CLASSES, 1)]
    network = keras.Sequential([keras.Input((None, None, 3)), *layers], name="tiny")
    network.save(tmp_path / "tiny.keras")
    return tmp_path / "tiny.keras"


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of a short training, to read from."""
    folder = tmp_path_factory.mktemp("runs") / "base"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "open_dataset", open_drawn)
        steps = ["--steps", 20, "--save-every", 10, "--learning-rate", 0.01]
        run_program(*OPTIONS, *NEW, *steps, "--validation", "val", "--out", folder)
    return folder

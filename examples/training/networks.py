"""Files of trained networks."""

import tempfile
import zipfile
from pathlib import Path

import keras

from examples.files import atomic_write
from examples.training.errors import explained


def save_network(path, network):
    """Write the .keras file, whole or not at all, without the optimizer and the loss.

    So it has a third of the size, and any program can load it, not only the examples.
    """
    compiled, optimizer = network.compiled, network.optimizer
    network.compiled, network.optimizer = False, None
    try:
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "network.keras"  # Keras takes only a name, with this suffix
            network.save(temporary)
            with atomic_write(path) as file:
                file.write(temporary.read_bytes())
    finally:
        network.compiled, network.optimizer = compiled, optimizer


def read_network(path):
    """The network in a .keras file."""
    # On a broken file Keras passes on many kinds of exceptions.
    kinds = OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile
    with explained(f"{path} is no trained network that can be read: ", *kinds):
        return keras.models.load_model(path, compile=False)

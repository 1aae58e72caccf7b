"""Files of trained networks."""

import os
import zipfile
from pathlib import Path

import keras

from examples.training.errors import explained


def save_network(path, network):
    """Write the .keras file, whole or not at all, without the optimizer and the loss.

    So it has a third of the size, and any program can load it, not only the examples.
    """
    compiled, optimizer = network.compiled, network.optimizer
    network.compiled, network.optimizer = False, None
    partial = Path(path).with_name(f".{os.getpid()}.partial.keras")  # Keras wants this suffix
    try:
        network.save(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
        network.compiled, network.optimizer = compiled, optimizer


def read_network(path):
    """The network in a .keras file."""
    # On a broken file Keras passes on many kinds of exceptions.
    kinds = OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile
    with explained(f"{path} is no trained network that can be read: ", *kinds):
        return keras.models.load_model(path, compile=False)

"""The checkpoint of a training run: a file that is complete at any moment."""

import contextlib
import dataclasses
import json
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from examples.files import atomic_write
from examples.training.errors import UserError, explained


@dataclasses.dataclass
class Checkpoint:
    """What a run needs to go on as if it had never stopped."""

    step: int  # with the seed, this decides the data order and the random numbers
    settings: dict
    variables: list  # of the network, then of the optimizer


def save_checkpoint(path, checkpoint):
    """Write the checkpoint; a kill at any moment leaves the old one or the new one."""
    header = {"step": checkpoint.step, "settings": checkpoint.settings}
    arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(checkpoint.variables)}
    with atomic_write(path) as file:
        np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)


def load_checkpoint(path):
    """Read a checkpoint; NumPy checks the checksum of every array."""
    kinds = OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile
    with explained(f"{path} is no checkpoint that can be read: ", *kinds):
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            count = len(arrays.files) - 1
            variables = [arrays[f"variable_{i}"] for i in range(count)]
        return Checkpoint(header["step"], header["settings"], variables)


def check_settings(path, saved, wanted):
    """Raise a UserError if the run of the checkpoint was started with other settings."""
    differences = [
        f"{name} is {saved.get(name, 'missing')!r} there and {wanted.get(name, 'missing')!r} here"
        for name in wanted | saved
        if saved.get(name) != wanted.get(name)
    ]
    if differences:
        raise UserError(
            f"{path} belongs to another run: {'; '.join(differences)}. "
            "Use the same settings, or another --out"
        )


def restore(variables, arrays, path):
    """Give the variables the stored values, all of them or none."""
    shapes = [tuple(v.shape) for v in variables]
    stored = [a.shape for a in arrays]
    if shapes != stored:
        raise UserError(f"{path} has other variables than the network and its optimizer")
    for variable, array in zip(variables, arrays):
        variable.assign(array)


def save_network(path, network):
    """Write the .keras file, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder, not_compiled(network):
        temporary = Path(folder) / "network.keras"  # Keras takes only a name, with this suffix
        network.save(temporary)
        with atomic_write(path) as file:
            file.write(temporary.read_bytes())


@contextlib.contextmanager
def not_compiled(network):
    """Leave the optimizer and the loss out of the file of a compiled network.

    Without them it has a third of the size, and any program can load it, not only the examples.
    """
    compiled, optimizer = network.compiled, network.optimizer
    network.compiled, network.optimizer = False, None
    try:
        yield
    finally:
        network.compiled, network.optimizer = compiled, optimizer


def read_network(path):
    """The network in a .keras file."""
    # On a broken file Keras passes on many kinds of exceptions.
    kinds = OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile
    with explained(f"{path} is no trained network that can be read: ", *kinds):
        return keras.models.load_model(path, compile=False)


def stale_files(folder):
    """The files that a killed process has left incomplete."""
    return list(Path(folder).glob(".*.partial"))

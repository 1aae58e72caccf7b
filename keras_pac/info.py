"""What is installed, which implementation runs and why: `python -m keras_pac.info`."""

import importlib.metadata
import os
import platform

import keras

import keras_pac
from keras_pac.ops._implementations import NAMES, library


def info():
    """The lines that `python -m keras_pac.info` prints.

    Returns:
        list of str.

    Example:

    >>> keras_pac.info.info()[0].startswith("keras_pac")
    True
    """
    lines = [f"keras_pac     {keras_pac.__version__}"]
    for package in ("keras", "tensorflow", "numpy", "jax", "torch"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        lines.append(f"{package:<13} {version}")
    lines.append(f"Python        {platform.python_version()} on {platform.machine()}")
    lines.append(f"Keras backend {keras.backend.backend()}")
    lines.append("")
    for name in NAMES:
        reasons = " ".join(keras_pac.not_supported_reasons(name))
        lines.append(f"{name:<13} {reasons or 'runs here'}")
    lines += [
        f"  {key}: {value}"
        for key, value in library.built_with().items()
        if key not in ("bytes", "sha256", "sources", "state")
    ]
    if not keras_pac.not_supported_reasons("compiled"):
        lines.append(f"  runs with: {library.instructions()}")
        if keras.backend.backend() == "tensorflow":
            reasons = " ".join(library.not_in_xla_reasons())
            lines.append(f"  inside XLA: {reasons or 'runs here'}")
    lines.append(f"  there for: {', '.join(library.built_for()) or 'no backend'}")
    variable = os.environ.get("KERAS_PAC_IMPLEMENTATION")
    source = "default" if variable is None else f"KERAS_PAC_IMPLEMENTATION={variable}"
    try:
        in_use = keras_pac.get_implementation()
    except ValueError as error:  # the variable names an implementation that can't run
        in_use = f"none: {error}"
    lines.append(f"in use        {in_use} ({source})")
    return lines


if __name__ == "__main__":
    print("\n".join(info()))

"""What is installed, which implementation runs and why: `python -m keras_pac.info`."""

import importlib.metadata
import importlib.util
import os
import platform

import keras

import keras_pac
from keras_pac.ops._implementations import NAMES, has_gpu, library

BACKENDS = "tensorflow", "jax", "torch"


def info():
    """The lines that `python -m keras_pac.info` prints.

    Returns:
        list of str.

    Example:
        >>> keras_pac.info.info()[0].startswith("keras_pac")
        True
    """
    lines = [f"keras_pac     {keras_pac.__version__}"]
    for package in ("keras", "numpy", *BACKENDS):
        lines.append(f"{package:<13} {_version(package) or 'not installed'}")
    lines.append(f"Python        {platform.python_version()} on {platform.machine()}")
    lines.append(f"Keras backend {keras.backend.backend()}")
    lines.append(f"GPU           {'seen by the backend' if has_gpu() else 'none'}")
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
    lines += ["", *_table(), ""]
    variable = os.environ.get("KERAS_PAC_IMPLEMENTATION")
    source = "default" if variable is None else f"KERAS_PAC_IMPLEMENTATION={variable}"
    try:
        in_use = keras_pac.get_implementation()
    except ValueError as error:  # the variable names an implementation that can't run
        in_use = f"none: {error}"
    lines.append(f"in use        {in_use} ({source})")
    return lines


def _table():
    """Which implementation can run on which backend, and the reasons why the others can't."""
    lines, reasons = ["".ljust(14) + "".join(name.ljust(10) for name in NAMES).rstrip()], []
    for backend in BACKENDS:
        why = {name: _reason(name, backend) for name in NAMES}
        cells = "".join(("no" if why[name] else "yes").ljust(10) for name in NAMES)
        lines.append(f"{backend:<13} {cells}".rstrip())
        if any(why.values()):
            text = ", ".join(dict.fromkeys(filter(None, why.values())))
            reasons.append(f"  {backend}: {text}")
    return lines + reasons


def _reason(name, backend):
    """Why an implementation can't run on a backend, also on one that is not in use; or None."""
    if _version(backend) is None:
        return "it is not installed"
    if name == "patches" and backend != "tensorflow":
        return "patches needs TensorFlow"
    if name != "compiled":
        return None
    if backend == keras.backend.backend():
        return " ".join(keras_pac.not_supported_reasons(name)) or None
    return library.refusal_elsewhere(backend, _version(backend))


def _version(package):
    """The version of an installed package, else None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(package) is None:
            return None
        return importlib.import_module(package).__version__  # tensorflow-cpu and others


if __name__ == "__main__":
    print("\n".join(info()))

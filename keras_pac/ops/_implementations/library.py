"""Loads the library of the compiled op, once, or gives the reason why it can't be loaded."""

import ctypes
import functools
import json
import pathlib
import warnings

from keras_pac.version import __version__

FOLDER = pathlib.Path(__file__).parents[2] / "_compiled"
# The build reads these two names here.
LIBRARY = "keras_pac_ops.so"
INFO = "keras_pac_ops.json"
HOW = "`make op` in the sources builds it"


def built_with(folder=None):
    """What the library was built with, as its build wrote it down: a dict, empty if unknown."""
    try:
        info = json.loads(((folder or FOLDER) / INFO).read_text())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def refusal(folder):
    """Why the library in a folder must not be loaded: a sentence, or None."""
    if not (folder / LIBRARY).exists():
        return f"the compiled op is not built: {HOW}."
    built = built_with(folder)
    if not built:
        return f"{INFO}, which says what the compiled op was built for, can't be read: {HOW} again."
    import tensorflow as tf

    here = {"tensorflow": ("TensorFlow", tf.__version__), "keras_pac": ("keras_pac", __version__)}
    for package, (name, version) in here.items():
        if built.get(package) != version:
            return (
                f"the compiled op was built for {name} {built.get(package, '(unknown)')}, and this "
                f"is {version}: {HOW} again."
            )
    # Loading a truncated library would crash the process.
    if built.get("bytes") != (size := (folder / LIBRARY).stat().st_size):
        return (
            f"the compiled op has {size} bytes, and {built.get('bytes')} were built: {HOW} again."
        )
    return None


@functools.cache
def load():
    """The library's operations, or a sentence that says why they can't be loaded."""
    if reason := refusal(FOLDER):
        return reason
    import tensorflow as tf

    try:
        return tf.load_op_library(str(FOLDER / LIBRARY))
    except (tf.errors.OpError, OSError) as error:
        return f"the compiled op can't be loaded ({error}): {HOW} again."


def not_loaded_reasons():
    """Why the library can't be used: a list of sentences, empty if it can."""
    return [loaded] if isinstance(loaded := load(), str) else []


@functools.cache
def has_cuda():
    """Whether the library was built with CUDA kernels."""
    return built_with().get("cuda") is not None


def instructions():
    """The vector instructions that the loaded library uses on this processor."""
    function = ctypes.CDLL(str(FOLDER / LIBRARY)).kpac_cpu_instructions
    function.restype = ctypes.c_char_p
    return function().decode()


@functools.cache
def warn_if_refused():
    """Warn, once, if the library exists but can't be used."""
    if (FOLDER / LIBRARY).exists():
        for reason in not_loaded_reasons():
            warnings.warn(f"keras_pac runs its portable code: {reason}", stacklevel=2)

"""Finds and loads the libraries of the compiled op, once, or gives the reason why it can't.

There are two, each with a JSON file beside it that says what it was built with: the core, and an
adapter for a minor version of TensorFlow. They come with the package, or `python -m
keras_pac.build` puts them into the user's cache.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib
import shutil
import warnings

from keras_pac.version import __version__

_PACKAGE = pathlib.Path(__file__).parents[2]
FOLDER = _PACKAGE / "_compiled"
# In a wheel the sources are inside the package.
SOURCES = next(
    (path for path in (_PACKAGE / "_custom_ops", _PACKAGE.parent / "custom_ops") if path.exists()),
    None,
)
CORE = "libkeras_pac_core.so"


def adapter(tensorflow_version):
    """The name of the adapter's library for a version of TensorFlow."""
    return f"keras_pac_tf_{_minor(tensorflow_version)}.so"


def _minor(version):
    return ".".join(version.split(".")[:2])


def cache_folder():
    """Where `python -m keras_pac.build` puts the libraries."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "keras_pac" / __version__


def read_info(path):
    """What the JSON file beside a library holds; empty if it is missing or damaged."""
    try:
        info = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


@functools.cache
def checksum_of_sources():
    """A checksum over all C++ and CUDA sources."""
    total = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in (".h", ".cc", ".cu", ".cuh"):
            total.update(path.relative_to(SOURCES).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def damaged(path, info):
    """What is wrong with a library, so that loading it could crash the process; or None."""
    size = path.stat().st_size if path.exists() else "no"
    if info.get("bytes") != size:
        return f"{path.name} has {size} bytes, and {info.get('bytes')} were built"
    # A machine that crashes while a file is written can leave it with zeros inside.
    if info.get("sha256") != checksum(path):
        return f"{path.name} is not as it was built"
    return None


def checksum(path):
    """A checksum over the bytes of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def how():
    """What builds the op here."""
    compiler = os.environ.get("CXX", "g++").split()[0]
    if shutil.which(compiler) is None:
        return f"`python -m keras_pac.build` builds it, once there is a C++ compiler ({compiler})"
    return "`python -m keras_pac.build` builds it"


def refusal(folder):
    """Why the libraries in a folder must not be loaded: a sentence, or None."""
    import tensorflow as tf

    here = tf.__version__
    libraries = folder / CORE, folder / adapter(here)
    if not libraries[1].exists():
        names = [path.stem.rpartition("_")[2] for path in folder.glob(adapter("*"))]
        if not names:
            return f"the compiled op is not built: {how()}."
        there = ", ".join(sorted(names, key=lambda name: [int(n) for n in name.split(".")]))
        return f"the compiled op is there for TensorFlow {there}, and this is {here}: {how()}."
    core, own = map(read_info, libraries)
    for path, info in zip(libraries, (core, own)):
        if not info:
            name = path.with_suffix(".json").name
            return f"{name}, which says what the compiled op is, can't be read: {how()} again."
        if (built := info.get("keras_pac")) != __version__:
            return (
                f"the compiled op was built for keras_pac {built}, and this is {__version__}: "
                f"{how()} again."
            )
        if damage := damaged(path, info):
            return f"{damage}: {how()} again."
    if own.get("core") != core.get("state"):
        return f"{libraries[1].name} was built for another {CORE}: {how()} again."
    return None


@functools.cache
def chosen_folder():
    """The folder of the libraries: that of the user's cache, if it fits these sources."""
    try:
        cache = cache_folder()
        if (cache / CORE).exists() and refusal(cache) is None:
            if read_info(cache / CORE).get("sources") == checksum_of_sources():
                return cache
    except (OSError, RuntimeError):  # there is no home, or it must not be read
        pass
    return FOLDER


def built_with():
    """What the core was built with, and for which TensorFlow; empty if it is not there."""
    import tensorflow as tf

    folder = chosen_folder()
    core, own = read_info(folder / CORE), read_info(folder / adapter(tf.__version__))
    return core and {**core, "tensorflow": own.get("tensorflow"), "folder": str(folder)}


@functools.cache
def load():
    """The library's operations, or a sentence that says why they can't be loaded."""
    folder = chosen_folder()
    if reason := refusal(folder):
        return reason
    import tensorflow as tf

    try:
        return tf.load_op_library(str(folder / adapter(tf.__version__)))
    except (tf.errors.OpError, OSError) as error:
        return f"the compiled op can't be loaded ({error}): {how()} again."


def not_loaded_reasons():
    """Why the library can't be used: a list of sentences, empty if it can."""
    return [loaded] if isinstance(loaded := load(), str) else []


@functools.cache
def has_cuda():
    """Whether the library was built with CUDA kernels."""
    return built_with().get("cuda") is not None


def instructions():
    """The vector instructions that the loaded library uses on this processor."""
    function = ctypes.CDLL(str(chosen_folder() / CORE)).kpac_cpu_instructions
    function.restype = ctypes.c_char_p
    return function().decode()


@functools.cache
def warn_if_refused():
    """Warn, once, if a library exists but can't be used."""
    if (chosen_folder() / CORE).exists():
        for reason in not_loaded_reasons():
            warnings.warn(f"keras_pac runs its portable code: {reason}", stacklevel=2)

"""Finds and loads the libraries of the compiled code, once, or gives the reason why it can't.

There is the core, and between it and a backend an adapter: one for each minor version of
TensorFlow, one for JAX; PyTorch needs none. Beside each library a JSON file says what it was built
with. They come with the package, or `python -m keras_pac.build` puts them into the user's cache.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import warnings

import keras

from keras_pac.version import __version__

_PACKAGE = pathlib.Path(__file__).parents[2]
FOLDER = _PACKAGE / "_compiled"
# In a wheel the sources are inside the package.
SOURCES = next(
    (path for path in (_PACKAGE / "_custom_ops", _PACKAGE.parent / "custom_ops") if path.exists()),
    None,
)
CORE = "libkeras_pac_core.so"
XLA_ADAPTER = "keras_pac_xla.so"
XLA_TARGET = "keras_pac"
FFI = "xla/ffi/api"  # the folder of the headers of XLA's interface


def tensorflow_adapter(version):
    """The name of the adapter's library for a version of TensorFlow."""
    return f"keras_pac_tf_{_minor(version)}.so"


def adapter():
    """The name of the adapter's library for the backend here; None for PyTorch."""
    backend = keras.backend.backend()
    if backend == "jax":
        return XLA_ADAPTER
    if backend == "torch":
        return None
    import tensorflow as tf

    return tensorflow_adapter(tf.__version__)


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


def refusal(folder, adapter_name=None):
    """Why the core and an adapter in a folder must not be loaded: a sentence, or None.

    `adapter_name` stands for the adapter of the backend; `CORE` for none.
    """
    names = dict.fromkeys((CORE, adapter_name or adapter() or CORE))
    libraries = [folder / name for name in names]
    if not libraries[-1].exists():
        return (
            _missing(folder) if adapter_name is None else f"{adapter_name} is not there: {how()}."
        )
    infos = [read_info(path) for path in libraries]
    for path, info in zip(libraries, infos):
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
    if len(libraries) > 1 and infos[1].get("core") != infos[0].get("state"):
        return f"{libraries[1].name} was built for another {CORE}: {how()} again."
    if libraries[-1].name == XLA_ADAPTER and keras.backend.backend() == "jax":
        return _refusal_by_jax(infos[-1])
    return None


def _refusal_by_jax(info):
    """A sentence if an adapter is for a newer interface than JAX has here; or None."""
    import jaxlib

    # JAX would find out later, and then not start at all.
    built = info.get("ffi", "0")
    here = ffi_version(pathlib.Path(jaxlib.__file__).parent / "include")
    if tuple(map(int, built.split("."))) <= here:
        return None
    return (
        f"{XLA_ADAPTER} was built for version {built} of XLA's interface, and this JAX has "
        f"{'.'.join(map(str, here))}: {how()} again."
    )


def _missing(folder):
    """What to say of a folder without the library that the backend needs."""
    if not (folder / CORE).exists():
        return f"the compiled op is not built: {how()}."
    if keras.backend.backend() != "tensorflow":
        return f"the compiled op is there, but not for {keras.backend.backend()}: {how()}."
    import tensorflow as tf

    names = [path.stem.rpartition("_")[2] for path in folder.glob(tensorflow_adapter("*"))]
    there = ", ".join(sorted(names, key=lambda name: [int(n) for n in name.split(".")]))
    there = f"TensorFlow {there}" if there else "other backends"
    return f"the compiled op is there for {there}, and this is {tf.__version__}: {how()}."


@functools.cache
def chosen_folder():
    """The folder of the libraries: that of the user's cache, if it fits these sources.

    One that does not fit is chosen too where there is no other, and then refused with the reason.
    """
    try:
        cache = cache_folder()
        if (cache / CORE).exists():
            fits = read_info(cache / CORE).get("sources") == checksum_of_sources()
            if not (FOLDER / CORE).exists() or (fits and refusal(cache) is None):
                return cache
    except (OSError, RuntimeError):  # there is no home, or it must not be read
        pass
    return FOLDER


def built_with():
    """What the core was built with, and for what; empty if it is not there."""
    folder, own = chosen_folder(), {}
    core = read_info(folder / CORE)
    if adapter():
        info = read_info(folder / adapter())
        own = {key: info[key] for key in ("tensorflow", "ffi") if key in info}
    return core and {**core, **own, "folder": str(folder)}


def ffi_version(include):
    """The version of XLA's foreign function interface whose headers are in a folder."""
    text = (include / FFI / "c_api.h").read_text()
    return tuple(map(int, re.findall(r"#define XLA_FFI_API_M\w+ (\d+)", text)))


def refusal_elsewhere(backend, version):
    """Why the libraries must not be loaded on a backend that is not in use; or None."""
    names = {"tensorflow": tensorflow_adapter(version), "jax": XLA_ADAPTER, "torch": CORE}
    return refusal(chosen_folder(), names[backend])


@functools.cache
def load():
    """What the backend calls, or a sentence that says why it can't be loaded.

    With TensorFlow it is the module of the ops, else the `ctypes.CDLL` of the core.
    """
    folder = chosen_folder()
    if reason := refusal(folder):
        return reason
    try:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.load_op_library(str(folder / adapter()))
        core = ctypes.CDLL(str(folder / CORE))
        core.kpac_cpu_threads  # noqa: B018 - an AttributeError for a core from before this interface
        if keras.backend.backend() == "jax":
            import jax

            adapter_library = ctypes.CDLL(str(folder / XLA_ADAPTER))
            for platform in ("cpu", "CUDA") if has_cuda() else ("cpu",):
                handler = getattr(adapter_library, f"kpac_xla_{platform.lower()}")
                capsule = jax.ffi.pycapsule(handler)
                jax.ffi.register_ffi_target(XLA_TARGET, capsule, platform=platform)
        return core
    except Exception as error:  # each backend has kinds of its own
        return f"the compiled op can't be loaded ({error}): {how()} again."


@functools.cache
def not_in_xla_reasons():
    """Why TensorFlow's XLA can't call the core: a list of sentences, empty if it can."""
    folder = chosen_folder()
    if reason := refusal(folder, XLA_ADAPTER):
        return [reason]
    import tensorflow as tf

    if any(device.device_type != "CPU" for device in tf.config.list_physical_devices()):
        return ["the core is called from XLA on a CPU only, and there is another device."]
    try:
        (framework,) = pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_framework.so.*")
        interface = ctypes.CDLL(str(framework)).XLA_FFI_GetApi
        interface.restype = ctypes.c_void_p
        ctypes.CDLL(str(folder / CORE))
        register = ctypes.CDLL(str(folder / XLA_ADAPTER)).kpac_xla_register
        refused = register(ctypes.c_void_p(interface()), XLA_TARGET.encode())
    except AttributeError:  # TensorFlow 2.18 and 2.19
        return [f"TensorFlow {tf.__version__} has no interface for it."]
    except (OSError, ValueError) as error:
        return [f"{XLA_ADAPTER} can't be loaded ({error}): {how()} again."]
    if refused:
        return [
            f"{XLA_ADAPTER} was built for a newer interface than this TensorFlow's: {how()} again."
        ]
    return []


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

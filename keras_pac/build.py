"""Build the compiled code for the backends that are installed: `python -m keras_pac.build`.

It goes into a folder of the user's cache, where keras_pac finds it. Environment variables:

- `CXX`: the C++ compiler, `g++` by default; `LD` and `OBJCOPY`: of binutils.
- `KERAS_PAC_CUDA=1`: also build the CUDA kernels; needs `nvcc`.
- `KERAS_PAC_CUDA_ARCHITECTURES`: for these, "80;90" by default.
- `KERAS_PAC_BUILD_JOBS`: how many files to compile at a time, 2 by default.
- `XDG_CACHE_HOME`: the cache, `~/.cache` by default.

The libraries are the core, and adapters: one for this minor version of TensorFlow, and one for XLA.
Only what changed is compiled again. Beside each library goes a JSON file that says what it was
built with, which the loader reads first.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from keras_pac.ops._implementations import library
from keras_pac.version import __version__


def _load_core_build():
    """The module that knows how to compile the core; it travels with the sources."""
    path = library.SOURCES / "build" / "core.py"
    spec = importlib.util.spec_from_file_location("keras_pac_core_build", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


core = _load_core_build()


class BuildError(Exception):
    """What is missing, or what the compiler said."""


class Adapter(NamedTuple):
    """A library between the core and a backend.

    Args:
        name: of its file.
        sources: the folder of its sources.
        about: dict, what it is for.
        flags: function without arguments that returns the compiler's flags and the linker's.
    """

    name: str
    sources: str
    about: dict
    flags: Callable


def tensorflow_adapter(version, flags):
    return Adapter(library.tensorflow_adapter(version), "tf", {"tensorflow": version}, flags)


def xla_adapter(include):
    """For JAX and TensorFlow's XLA; `include` has the headers of XLA's interface to other code."""
    about = {"ffi": ".".join(map(str, library.ffi_version(include)))}
    return Adapter(library.XLA_ADAPTER, "xla", about, lambda: ([f"-I{include}"], []))


def installed_adapters():
    """The adapters for what this Python has."""
    adapters = []
    if importlib.util.find_spec("tensorflow"):
        adapters.append(installed_tensorflow())
    # What was built for a version of the interface runs with that and newer ones.
    include = min(_ffi_includes(), key=library.ffi_version, default=None)
    return [*adapters, xla_adapter(include)] if include else adapters


def _ffi_includes():
    """The folders of headers, JAX's and TensorFlow's, that have XLA's interface."""
    for package in ("jaxlib", "tensorflow"):
        if spec := importlib.util.find_spec(package):
            include = pathlib.Path(spec.origin).parent / "include"
            if (include / library.FFI / "ffi.h").exists():
                yield include


def installed_tensorflow():
    """The TensorFlow of this Python, which is imported only if there is something to compile."""
    try:
        version = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu and others
        import tensorflow as tf

        version = tf.__version__

    def flags():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        return tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()

    return tensorflow_adapter(version, flags)


def unpacked_tensorflow(version, folder):
    """The TensorFlow of an official wheel that was unpacked: its folder `tensorflow`."""
    compile_flags = [f"-I{folder / 'include'}", "-D_GLIBCXX_USE_CXX11_ABI=1", "--std=c++17"]
    compile_flags.append("-DEIGEN_MAX_ALIGN_BYTES=64")
    link_flags = [f"-L{folder}", "-l:libtensorflow_framework.so.2"]
    return tensorflow_adapter(version, lambda: (compile_flags, link_flags))


def build(folder, objects, adapters):
    """Build the core and the adapters into `folder`; True if anything changed.

    `objects` is a folder for what can be used again, or None. The libraries get their place when
    all are complete, so a build that fails leaves what was there.
    """
    compiler, nvcc = core.cxx(), _nvcc()
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"there is no C++ compiler {compiler[0]!r}; CXX names another")
    for variable, tool in zip(("LD", "OBJCOPY"), core.binutils()):
        if shutil.which(tool) is None:
            raise BuildError(f"there is no {tool!r}; {variable} names another")
    common = {
        "keras_pac": __version__,
        "sources": library.checksum_of_sources(),
        "compiler": _output([*compiler, "--version"]).splitlines()[0],
        "flags": " ".join(core.FLAGS),
        "cuda": _cuda_version(nvcc) if nvcc else None,
    }
    with _alone(folder), _unfinished(folder) as unfinished:
        objects = objects or unfinished / "objects"
        about = {
            **common,
            "instructions": core.instruction_sets(),
            "cuda_architectures": _architectures() if nvcc else None,
        }

        steps, path = _core_steps(compiler, nvcc), unfinished / library.CORE
        flags = functools.partial(_core_flags, nvcc)
        changed = _build_library(path, objects / "core", steps, flags, about)
        state = library.read_info(path if changed else folder / path.name)["state"]
        for adapter in adapters:
            about = {**common, "core": state, **adapter.about}
            if _runs_with_older(folder / adapter.name, about):
                continue
            path = unfinished / adapter.name
            flags = functools.partial(_adapter_flags, adapter, [unfinished, folder], nvcc)
            steps = _adapter_steps(adapter, compiler)
            changed |= _build_library(path, objects / path.stem, steps, flags, about)
        _take_place(unfinished, folder)
    return changed


def _runs_with_older(path, about):
    """Whether the adapter that is there was built for an older version of XLA's interface.

    It runs with newer ones, so it serves more environments than the one that would replace it.
    """
    there = library.read_info(path)
    ffi = [tuple(map(int, info.get("ffi", "0").split("."))) for info in (there, about)]
    same = all(there.get(key) == value for key, value in about.items() if key != "ffi")
    return "ffi" in about and same and ffi[0] <= ffi[1] and library.damaged(path, there) is None


def _core_flags(nvcc):
    return [], [f"-Wl,-soname,{library.CORE}", *(core.cuda_link_flags(nvcc) if nvcc else [])]


def _adapter_flags(adapter, folders, nvcc):
    compile_flags, link_flags = adapter.flags()
    # Warnings in the headers of others are none of ours.
    compile_flags = [re.sub("^-I", "-isystem", flag) for flag in compile_flags]
    compile_flags += ["-DKERAS_PAC_CUDA"] if nvcc else []
    link_flags = [*link_flags, *(f"-L{folder}" for folder in folders), f"-l:{library.CORE}"]
    return compile_flags, [*link_flags, "-Wl,-rpath,$ORIGIN"]


def _build_library(path, objects, steps, flags, about):
    """Build a library from the steps, unless the folder above has it; True if it had not.

    `flags()` are the compiler's and the linker's.
    """
    there = path.parent.parent / path.name
    # Without the folder of the sources: an environment beside this one has others, and shares them.
    built = json.dumps([about, steps], default=str).replace(str(library.SOURCES), "")
    state = hashlib.sha256(built.encode()).hexdigest()
    info = library.read_info(there)
    if info.get("state") == state and library.damaged(there, info) is None:
        return False
    objects.mkdir(parents=True, exist_ok=True)
    compile_flags, link = flags()

    def compile_one(step):
        # Not all of `about`: with the checksum of all sources in it, all would be compiled again.
        version = about.get("tensorflow") or about.get("ffi")
        return _compile(step, compile_flags, objects / f"{step.name}.o", version)

    jobs = int(os.environ.get("KERAS_PAC_BUILD_JOBS", "2"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        files = list(pool.map(compile_one, steps))
    _run([*core.cxx(), "-shared", "-o", path, *files, *link])
    about = {**about, "bytes": path.stat().st_size, "sha256": library.checksum(path)}
    about["state"] = state
    path.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return True


@contextlib.contextmanager
def _alone(folder):
    """Wait for another process that builds into the folder; leave no empty folder behind."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        descriptor = _locked(folder)
    except OSError:
        _remove_empty(made)
        raise
    try:
        yield
    finally:
        _remove_empty(made)  # before another process gets the lock
        os.close(descriptor)


def _locked(folder):
    """A locked descriptor of the folder, which others may remove while this process waits."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)


def _remove_empty(folders):
    for path in folders:
        with contextlib.suppress(OSError):  # it has something in it
            path.rmdir()


@contextlib.contextmanager
def _unfinished(folder):
    """A folder inside the folder for what is not complete."""
    path = folder / "unfinished"
    shutil.rmtree(path, ignore_errors=True)  # of a build that was killed
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _take_place(unfinished, folder):
    """Move the new libraries into the folder, the files that say what they are last.

    A library without the file beside it is refused, so none is ever taken for another.
    """
    libraries = list(unfinished.glob("*.so"))
    for path in libraries:
        (folder / path.name).with_suffix(".json").unlink(missing_ok=True)
    for path in [*libraries, *unfinished.glob("*.json")]:
        os.replace(path, folder / path.name)


def _adapter_steps(adapter, compiler):
    paths = sorted((library.SOURCES / adapter.sources).glob("*.cc"))
    return [core.Step(path, path.stem, [*compiler, *core.FLAGS]) for path in paths]


def _core_steps(compiler, nvcc):
    options = {"cuda": True, "nvcc": nvcc, "architectures": _architectures()} if nvcc else {}
    return core.core_steps(compiler=compiler, **options)


def _nvcc():
    if os.environ.get("KERAS_PAC_CUDA", "0") in ("", "0"):
        return None
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise BuildError("KERAS_PAC_CUDA asks for CUDA kernels, and there is no `nvcc` on the path")
    return nvcc


def _architectures():
    return os.environ.get("KERAS_PAC_CUDA_ARCHITECTURES", "80;90").split(";")


def _cuda_version(nvcc):
    found = re.search(r"release ([\d.]+)", _output([nvcc, "--version"]))
    return found[1] if found else "unknown"


def _compile(step, options, target, version):
    """Make one object file, unless its source, what that includes and its commands are the same."""
    dependencies = pathlib.Path(f"{target}.d")
    commands = [
        list(map(str, command))
        for command in step.commands(target, *options, "-MMD", "-MF", dependencies)
    ]
    record = target.with_suffix(".json")
    if target.exists() and dependencies.exists():
        if _read(record) == _record(commands, version, dependencies):
            return target
    record.unlink(missing_ok=True)
    print(f"compiling {step.name}", flush=True)
    for command in commands:
        _run(command)
    record.write_text(json.dumps(_record(commands, version, dependencies)))
    return target


def _read(path):
    """What a JSON file holds; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _record(commands, version, dependencies):
    """What an object file depends on; TensorFlow's headers by its version."""
    paths = dependencies.read_text().replace("\\\n", " ").split()[1:]
    own = sorted(path for path in paths if str(library.SOURCES) in path and os.path.exists(path))
    hashes = [hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in own]
    return [commands, version, own, hashes]


def _run(command):
    command = list(map(str, command))
    process = subprocess.run(command, capture_output=True, text=True)
    if process.stdout or process.stderr or process.returncode:
        print(shlex.join(command), process.stdout, process.stderr, sep="\n", flush=True)
    if process.returncode:
        raise BuildError(f"the command above failed with status {process.returncode}")


def _output(command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def make_parser():
    parser = argparse.ArgumentParser(prog="python -m keras_pac.build", description="Build the op.")
    add = parser.add_argument
    add("--folder", type=pathlib.Path, help="where it goes (a folder of the user's cache)")
    add("--objects", type=pathlib.Path, help="for what a next build can use again")
    add("--optional", action="store_true", help="report a failure, but don't exit with one")
    return parser


def main():
    arguments = make_parser().parse_args()
    try:
        folder = arguments.folder or _cache_folder()
        changed = build(folder, arguments.objects, installed_adapters())
    except (BuildError, OSError, ImportError, ValueError) as error:
        print(f"The compiled op was not built: {error}.", file=sys.stderr)
        if isinstance(error, OSError):
            print("XDG_CACHE_HOME names another folder for it.", file=sys.stderr)
        print("The portable code runs without it.", file=sys.stderr)
        return 0 if arguments.optional else 1
    print("The compiled op is built." if changed else "The compiled op is up to date.")
    return 0


def _cache_folder():
    try:
        return library.cache_folder()
    except RuntimeError as error:
        raise BuildError("there is no home folder; XDG_CACHE_HOME names a cache") from error


if __name__ == "__main__":
    sys.exit(main())

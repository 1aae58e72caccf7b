"""Build the compiled op into the package: `python -m custom_ops.build`.

Environment variables:

- `CXX`: the C++ compiler, `g++` by default; `LD` and `OBJCOPY`: of binutils.
- `KERAS_PAC_CUDA=1`: also build the CUDA kernels; needs `nvcc`.
- `KERAS_PAC_CUDA_ARCHITECTURES`: for these, "80;90" by default.
- `KERAS_PAC_BUILD_JOBS`: how many files to compile at a time, 2 by default.

Only what changed is compiled again. Beside the library goes a JSON file that says what it was
built with, which the loader reads first.
"""

import argparse
import concurrent.futures
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from custom_ops.build import core

SOURCES = pathlib.Path(__file__).resolve().parent.parent
ROOT = SOURCES.parent


class BuildError(Exception):
    """What is missing, or what the compiler said."""


def constant(module, name):
    """A text that a module of keras_pac defines, from its source: an import would take Keras."""
    source = (ROOT / "keras_pac" / module).read_text()
    return re.search(rf'^{name} = "(.*)"$', source, re.MULTILINE)[1]


def build(folder, objects):
    """Build the library into `folder`, with object files in `objects`; True if it changed."""
    compiler = core.cxx()
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"there is no C++ compiler {compiler[0]!r}; CXX names another")
    for variable, tool in zip(("LD", "OBJCOPY"), core.binutils()):
        if shutil.which(tool) is None:
            raise BuildError(f"there is no {tool!r}; {variable} names another")
    nvcc = _nvcc()
    version = _tensorflow_version()
    library, info = (
        folder / constant("ops/_implementations/library.py", name) for name in ("LIBRARY", "INFO")
    )
    steps = [*_adapter_steps(compiler), *_core_steps(compiler, nvcc)]
    state = json.dumps(
        [steps, version, _contents(), _output([*compiler, "--version"])], default=str
    )
    state = hashlib.sha256(state.encode()).hexdigest()
    if library.exists() and _read(info, {}).get("state") == state:
        return False
    tensorflow, link = _tensorflow_flags()
    if nvcc:
        tensorflow.append("-DKERAS_PAC_CUDA")
        link += core.cuda_link_flags(nvcc)
    objects.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)

    def compile_one(step):
        options = tensorflow if step.source.parent.name == "tf" else []
        return _compile(step, options, objects / f"{step.name}.o", version)

    jobs = int(os.environ.get("KERAS_PAC_BUILD_JOBS", "2"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        files = list(pool.map(compile_one, steps))
    # A library without the file beside it is refused, so none is ever taken for another.
    info.unlink(missing_ok=True)
    unfinished = library.with_suffix(".tmp")
    _run([*compiler, "-shared", "-o", unfinished, *files, *link])
    os.replace(unfinished, library)
    built_with = {
        "keras_pac": constant("version.py", "__version__"),
        "tensorflow": version,
        "compiler": _output([*compiler, "--version"]).splitlines()[0],
        "flags": " ".join(core.FLAGS),
        "instructions": core.instruction_sets(),
        "cuda": _cuda_version(nvcc) if nvcc else None,
        "cuda_architectures": _architectures() if nvcc else None,
        "bytes": library.stat().st_size,
        "state": state,
    }
    unfinished.write_text(json.dumps(built_with, indent=2) + "\n")
    os.replace(unfinished, info)
    return True


def _read(path, default):
    """What a JSON file holds; the default if it is of another type, missing or damaged."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return default
    return value if isinstance(value, type(default)) else default


def _adapter_steps(compiler):
    """The steps of TensorFlow's side."""
    for path in sorted((SOURCES / "tf").glob("*.cc")):
        yield core.Step(path, f"tf_{path.stem}", [*compiler, *core.FLAGS])


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


def _tensorflow_version():
    try:
        return importlib.metadata.version("tensorflow")  # much faster than importing it
    except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu and others
        import tensorflow as tf

        return tf.__version__


def _tensorflow_flags():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    flags = [
        # Warnings in TensorFlow's headers are none of ours.
        flag.replace("-I", "-isystem", 1) if flag.startswith("-I") else flag
        for flag in tf.sysconfig.get_compile_flags()
    ]
    return flags, tf.sysconfig.get_link_flags()


def _contents():
    """The sources, by their path."""
    paths = sorted(p for p in SOURCES.rglob("*") if p.suffix in (".h", ".cc", ".cu", ".cuh"))
    return {
        path.relative_to(SOURCES).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _compile(step, options, target, version):
    """Make one object file, unless its source, what that includes and its commands are the same."""
    dependencies = pathlib.Path(f"{target}.d")
    commands = [
        list(map(str, command))
        for command in step.commands(target, *options, "-MMD", "-MF", dependencies)
    ]
    record = target.with_suffix(".json")
    if target.exists() and dependencies.exists():
        if _read(record, []) == _record(commands, version, dependencies):
            return target
    record.unlink(missing_ok=True)
    print(f"compiling {step.name}", flush=True)
    for command in commands:
        _run(command)
    record.write_text(json.dumps(_record(commands, version, dependencies)))
    return target


def _record(commands, version, dependencies):
    """What an object file depends on; TensorFlow's headers by its version."""
    paths = dependencies.read_text().replace("\\\n", " ").split()[1:]
    own = sorted(path for path in paths if str(SOURCES) in path and os.path.exists(path))
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


def main():
    parser = argparse.ArgumentParser(
        prog="python -m custom_ops.build", description="Build the compiled op into the package."
    )
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "keras_pac" / "_compiled")
    parser.add_argument("--objects", type=pathlib.Path, default=ROOT / "build" / "op")
    parser.add_argument(
        "--optional", action="store_true", help="report a failure, but don't exit with one"
    )
    arguments = parser.parse_args()
    try:
        changed = build(arguments.folder, arguments.objects)
    except (BuildError, OSError, ImportError, ValueError) as error:
        print(f"The compiled op was not built: {error}.", file=sys.stderr)
        if arguments.optional:
            print("The portable code runs without it.", file=sys.stderr)
        return 0 if arguments.optional else 1
    print("The compiled op is built." if changed else "The compiled op is up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

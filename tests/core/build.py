"""Builds the test drivers of the core: `python tests/core/build.py FOLDER [--sanitize]`.

They are linked with every CPU source of the core, compiled for the instruction sets that the op
has, and with nothing else. The environment variable CXX names another compiler than g++.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT))  # also where this file is the program

from custom_ops.build import core  # noqa: E402

DRIVERS = ("fuzz", "huge", "no_memory")


def compiler():
    """The compiler's command, or None where there is none."""
    command = core.cxx()
    return command if shutil.which(command[0]) else None


def instruction_sets():
    """The sets that this processor runs, the plainest first."""
    try:
        words = pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:
        words = []
    needed = {"generic": [], "avx2": ["avx2", "fma", "f16c"], "avx512": ["avx512f", "avx512bw"]}
    return [name for name, flags in needed.items() if all(flag in words for flag in flags)]


def build(folder, sanitize=False):
    """Build the drivers into `folder`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++17", "-pthread", "-Wall", "-Wextra", f"-I{core.CORE}"]
    flags += core.SANITIZE if sanitize else ["-O2"]

    def compile_driver(name):
        _run([*compiler(), *flags, "-c", HERE / f"{name}.cc", "-o", folder / f"{name}.o"])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_driver, DRIVERS))
    objects = core.core_objects(folder, jobs=2, sanitize=sanitize)
    for name in DRIVERS:
        _run([*compiler(), *flags, folder / f"{name}.o", *objects, "-o", folder / name])
    # The order of linking must not matter.
    reverse = [*reversed(objects), folder / "fuzz.o"]
    _run([*compiler(), *flags, *reverse, "-o", folder / "fuzz_linked_in_reverse"])


def _run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--sanitize", action="store_true")
    arguments = parser.parse_args()
    build(arguments.folder, arguments.sanitize)

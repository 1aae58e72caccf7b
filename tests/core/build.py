"""Builds the test drivers of the core: `python tests/core/build.py FOLDER [--sanitize]`.

They are linked with every CPU source of the core, compiled with the flags that the op gets, and
with nothing else. The environment variable CXX names another compiler than g++.
"""

import argparse
import concurrent.futures
import os
import pathlib
import platform
import shlex
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
CORE = HERE.parent.parent / "custom_ops" / "core"
DRIVERS = ("fuzz", "huge")
FLAGS = "-std=c++17 -Wall -Wextra -pthread -ffp-contract=fast -fno-math-errno".split()
OPTIMIZED = ["-O2"]
SANITIZED = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all".split()
# cpu/engine.cc is compiled once for each; the core chooses when it runs.
INSTRUCTIONS = {
    "generic": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c".split(),
}


def compiler():
    """The compiler's command, or None where there is none."""
    command = shlex.split(os.environ.get("CXX", "g++"))
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
    """Build the drivers into `folder`; returns their paths by name."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *(SANITIZED if sanitize else OPTIMIZED)]
    vectors = platform.machine().lower() in ("x86_64", "amd64")
    steps = []
    for source in [*sorted(CORE.glob("*.cc")), *sorted((CORE / "cpu").glob("*.cc"))]:
        if source.name == "engine.cc":
            for name, machine in INSTRUCTIONS.items():
                if vectors or name == "generic":
                    options = [f"-DKPAC_ISA={name}", *machine]
                    steps.append((source, folder / f"engine_{name}.o", options))
        else:
            steps.append((source, folder / f"core_{source.stem}.o", []))
    core = [target for _, target, _ in steps]
    for name in DRIVERS:
        steps.append((HERE / f"{name}.cc", folder / f"{name}.o", [f"-I{CORE}"]))

    def compile_one(step):
        source, target, options = step
        _run([*compiler(), *flags, *options, "-c", source, "-o", target])

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, steps))
    for name in DRIVERS:
        _run([*compiler(), *flags, folder / f"{name}.o", *core, "-o", folder / name])
    return {name: folder / name for name in DRIVERS}


def _run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--sanitize", action="store_true")
    arguments = parser.parse_args()
    for path in build(arguments.folder, arguments.sanitize).values():
        print(path)

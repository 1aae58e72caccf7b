"""Build the core alone, without TensorFlow, as a shared library.

    python -m custom_ops.build.core --output libkeras_pac_core.so
    python -m custom_ops.build.core --cuda --architectures 80 90 --output libkeras_pac_core.so
    python -m custom_ops.build.core --emulate --output libkeras_pac_emulated.so

`--emulate` compiles the CUDA sources as C++: kpac_cuda_* then run on the CPU, on host pointers. It
takes CUDA's headers, but no nvcc and no GPU.

The build of the op and the tests of the core take the compiler's flags and the commands from here.
"""

import argparse
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

CORE = pathlib.Path(__file__).resolve().parent.parent / "core"
FLAGS = (
    "-O3 -std=c++17 -fPIC -fvisibility=hidden -ffp-contract=fast -fno-math-errno "
    "-fno-trapping-math -Wall -Wextra -Wno-maybe-uninitialized"
).split()  # the last because GCC 12 warns about its own AVX-512 header
SANITIZE = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all".split()
# cpu/engine.cc is compiled once for each; the library chooses when it runs.
INSTRUCTIONS = {
    "generic": [],
    "avx2": "-mavx2 -mfma -mf16c".split(),
    "avx512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c".split()
    + ["-mprefer-vector-width=512"],
}


class Step(NamedTuple):
    """One object file: its source, its name, and the compiler's command without -c and -o.

    `entry`: the one symbol of it that others see. The sources share inline functions and templates,
    such as the members of std::vector<int64_t>, and of several definitions the linker keeps any:
    one with vector instructions would then run on every processor.
    """

    source: pathlib.Path
    name: str
    command: list
    entry: str | None = None

    def commands(self, target, *options):
        """The commands that make the object file `target`."""
        compile_to = [*self.command, *options, "-c", self.source, "-o"]
        if self.entry is None:
            return [[*compile_to, target]]
        linker, objcopy = binutils()
        whole = f"{target}.whole"
        return [
            [*compile_to, whole],
            # Without groups of sections, which the linker knows by name, and without other names.
            [linker, "-r", "--force-group-allocation", whole, "-o", target],
            [objcopy, f"--keep-global-symbol={self.entry}", target],
        ]


def cxx():
    """The C++ compiler's command: the environment variable CXX, else g++."""
    return shlex.split(os.environ.get("CXX", "g++"))


def binutils():
    """The linker and objcopy: the environment variables LD and OBJCOPY, else their usual names."""
    return os.environ.get("LD", "ld"), os.environ.get("OBJCOPY", "objcopy")


def instruction_sets():
    """Those that engine.cc can be compiled for here, the plainest first."""
    vectors = platform.machine().lower() in ("x86_64", "amd64")
    return list(INSTRUCTIONS) if vectors else ["generic"]


def no_unique_symbols(compiler):
    """GCC's flag against symbols that objcopy can't make local; clang makes none, nor knows it."""
    flags = ["-fno-gnu-unique"]
    command = [*compiler, *flags, "-E", "-x", "c++", os.devnull]
    return flags if subprocess.run(command, capture_output=True).returncode == 0 else []


def cuda_home(nvcc="nvcc"):
    """The toolkit's folder: $CUDA_HOME, or nvcc's own, or the usual one."""
    found = shutil.which(nvcc)
    candidates = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    if found:
        candidates.insert(1, pathlib.Path(found).resolve().parent.parent)
    for candidate in candidates:
        if candidate and (pathlib.Path(candidate) / "include" / "cuda_fp16.h").exists():
            return pathlib.Path(candidate)
    raise FileNotFoundError("no CUDA toolkit was found: CUDA_HOME names its folder")


def nvcc_flags(architectures):
    """Code for every architecture (80, 90, ...), and PTX of the last for later GPUs."""
    host = "-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas"
    flags = ["-O3", "-std=c++17", "-Xcompiler", host]
    for architecture in architectures:
        flags += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
    last = architectures[-1]
    return flags + ["-gencode", f"arch=compute_{last},code=compute_{last}"]


def cuda_link_flags(nvcc="nvcc"):
    """The static CUDA runtime, so that the library also loads where there is no CUDA."""
    folders = [path for name in ("lib64", "lib") if (path := cuda_home(nvcc) / name).is_dir()]
    return [*(f"-L{path}" for path in folders), "-lcudart_static", "-ldl", "-lrt", "-lpthread"]


def core_steps(
    cuda=False,
    architectures=("80", "90"),
    emulate=False,
    sanitize=False,
    compiler=None,
    nvcc="nvcc",
):
    """The steps of all object files of the core, which may be linked in any order."""
    compiler = compiler or cxx()
    command = [*compiler, *FLAGS, *(SANITIZE if sanitize else [])]
    engine = CORE / "cpu" / "engine.cc"
    local = no_unique_symbols(compiler)
    steps = []
    for source in sorted([*CORE.glob("*.cc"), *CORE.glob("cpu/*.cc")]):
        if source != engine:
            steps.append(Step(source, source.stem, command))
    for name in instruction_sets():
        entry = f"kpac_engine_{name}"
        alone = entry if len(instruction_sets()) > 1 else None  # else there is nothing to mix up
        flags = [f"-DKPAC_ISA={name}", f"-DKPAC_ENGINE={entry}", *INSTRUCTIONS[name], *local]
        steps.append(Step(engine, f"engine_{name}", [*command, *flags], alone))
    for source in sorted(CORE.glob("cuda/*.cu")):
        if emulate:
            include = ["-isystem", str(cuda_home(nvcc) / "include")]
            flags = ["-DKPAC_EMULATE", "-Wno-unknown-pragmas", *include, "-x", "c++"]
            steps.append(Step(source, f"cuda_{source.stem}", [*command, *flags]))
        elif cuda:
            steps.append(Step(source, f"cuda_{source.stem}", [nvcc, *nvcc_flags(architectures)]))
    return steps


def core_objects(folder, jobs=None, **options):
    """Compile the core into `folder`; options of `core_steps`. Returns the object files."""

    def compile_one(step):
        target = pathlib.Path(folder) / f"{step.name}.o"
        for command in step.commands(target):
            subprocess.run(command, check=True)
        return target

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        return list(pool.map(compile_one, core_steps(**options)))


def build(output, jobs=None, **options):
    """Build the shared library `output`; options of `core_steps`."""
    link = cuda_link_flags(options.get("nvcc", "nvcc")) if options.get("cuda") else []
    link += SANITIZE if options.get("sanitize") else []
    compiler = options.get("compiler") or cxx()
    with tempfile.TemporaryDirectory() as folder:
        objects = core_objects(folder, jobs, **options)
        subprocess.run([*compiler, "-shared", *objects, "-o", str(output), *link], check=True)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m custom_ops.build.core", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--output", default="libkeras_pac_core.so")
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--architectures", nargs="+", default=["80", "90"])
    parser.add_argument("--emulate", action="store_true", help="CUDA sources as C++, on the CPU")
    parser.add_argument("--sanitize", action="store_true", help="address and undefined behaviour")
    parser.add_argument("--compiler", type=shlex.split, default=cxx())
    parser.add_argument("--nvcc", default=os.environ.get("NVCC", "nvcc"))
    parser.add_argument("--jobs", type=int, default=None)
    options = vars(parser.parse_args())
    if options["cuda"] and options["emulate"]:
        parser.error("--cuda and --emulate define the same functions: choose one.")
    build(**options)


if __name__ == "__main__":
    main()

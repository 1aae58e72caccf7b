"""Build the core alone, without TensorFlow, as a shared library for `harness.py`.

    python custom_ops/build_core.py --output libkeras_pac_core.so
    python custom_ops/build_core.py --cuda --architectures 80 90 --output libkeras_pac_core.so
    python custom_ops/build_core.py --emulate --output libkeras_pac_emulated.so

`--emulate` compiles the CUDA sources as C++: kpac_cuda_* then run on the CPU, on host pointers. It
takes CUDA's headers, but no nvcc and no GPU. `core_objects` is what another build needs.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

CORE = pathlib.Path(__file__).resolve().parent / "core"
COMMON = ["-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden"]
COMMON += ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
X86 = {
    "generic": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"]
    + ["-mprefer-vector-width=512"],
}
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def cuda_home(nvcc="nvcc"):
    """The toolkit's folder: $CUDA_HOME, or nvcc's own, or the usual one."""
    found = shutil.which(nvcc)
    candidates = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    if found:
        candidates.insert(1, pathlib.Path(found).resolve().parent.parent)
    for candidate in candidates:
        if candidate and (pathlib.Path(candidate) / "include" / "cuda_fp16.h").exists():
            return pathlib.Path(candidate)
    raise FileNotFoundError("No CUDA toolkit was found: set CUDA_HOME to its folder.")


def nvcc_flags(architectures):
    """Code for every architecture (80, 90, ...), and PTX of the last for later GPUs."""
    flags = [
        "-O3",
        "-std=c++17",
        "-Xcompiler",
        "-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas",
    ]
    for architecture in architectures:
        flags += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
    last = architectures[-1]
    return flags + ["-gencode", f"arch=compute_{last},code=compute_{last}"]


def core_commands(
    cuda=False,
    architectures=("80", "90"),
    emulate=False,
    sanitize=False,
    compiler="g++",
    nvcc="nvcc",
    x86=True,
):
    """[(source, suffix, command without -o)] for every object of the core."""
    cxx = [compiler, *COMMON, *(SANITIZE if sanitize else [])]
    commands = []
    for source in sorted([*CORE.glob("*.cc"), *CORE.glob("cpu/*.cc")]):
        if source.name == "engine.cc":
            for isa in X86 if x86 else ["generic"]:
                commands.append((source, isa, [*cxx, f"-DKPAC_ISA={isa}", *X86[isa]]))
        else:
            commands.append((source, "", cxx))
    for source in sorted(CORE.glob("cuda/*.cu")):
        if emulate:
            include = ["-isystem", str(cuda_home(nvcc) / "include")]
            flags = ["-DKPAC_EMULATE", "-Wno-unknown-pragmas", *include, "-x", "c++"]
            commands.append((source, "", [*cxx, *flags]))
        elif cuda:
            commands.append((source, "", [nvcc, *nvcc_flags(architectures)]))
    return commands


def core_objects(folder, jobs=None, verbose=False, **options):
    """Compile the core into `folder`; options as for `core_commands`. Returns the object files."""

    def compile_one(entry):
        source, suffix, command = entry
        target = pathlib.Path(folder) / ("_".join(filter(None, [source.stem, suffix])) + ".o")
        command = [*command, "-c", str(source), "-o", str(target)]
        if verbose:
            print(" ".join(command), flush=True)
        subprocess.run(command, check=True)
        return str(target)

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        return list(pool.map(compile_one, core_commands(**options)))


def link_command(objects, output, cuda=False, sanitize=False, compiler="g++", nvcc="nvcc"):
    if cuda:  # nvcc adds the static CUDA runtime
        return [nvcc, "-shared", *objects, "-o", str(output)]
    return [compiler, "-shared", *objects, "-o", str(output), *(SANITIZE if sanitize else [])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="libkeras_pac_core.so")
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--architectures", nargs="+", default=["80", "90"])
    parser.add_argument("--emulate", action="store_true", help="CUDA sources as C++, on the CPU")
    parser.add_argument("--sanitize", action="store_true", help="address and undefined behaviour")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parser.add_argument("--nvcc", default=os.environ.get("NVCC", "nvcc"))
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--verbose", action="store_true")
    options = vars(parser.parse_args())
    output, jobs, verbose = (options.pop(name) for name in ("output", "jobs", "verbose"))
    if options["cuda"] and options["emulate"]:
        parser.error("--cuda and --emulate define the same functions: choose one.")
    options["x86"] = os.uname().machine in ("x86_64", "amd64")
    with tempfile.TemporaryDirectory() as folder:
        objects = core_objects(folder, jobs, verbose, **options)
        for name in ("architectures", "emulate", "x86"):
            options.pop(name)
        subprocess.run(link_command(objects, output, **options), check=True)


if __name__ == "__main__":
    main()

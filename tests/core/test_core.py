"""The compiled core through its C interface, without TensorFlow: see the programs in `core/`.

`core/fuzz.cc` compares random problems with a naive float64 reference; `core/huge.cc` has pictures
of more than 2^31 pixels; in `core/no_memory.cc` there is no memory. Run again what they print to
repeat a failure.
"""

import bisect
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custom_ops.build import core
from tests.core import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler")

INSTRUCTIONS = build.instruction_sets()
HERE = Path(__file__).parent


def build_once(tmp_path_factory, name, **options):
    """Build the drivers, once for all processes of a parallel run; return their folder."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / name
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            build.build(folder, **options)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """The folder of the drivers, optimized."""
    return build_once(tmp_path_factory, "optimized")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """The folder of the drivers with the address and undefined-behaviour sanitizers."""
    return build_once(tmp_path_factory, "sanitized", sanitize=True)


def start(program, *arguments, instructions):
    """Start a driver that writes to a pipe."""
    environment = {**os.environ, "KPAC_INSTRUCTIONS": instructions}
    return subprocess.Popen(
        [program, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check(*processes, instructions):
    """Wait for drivers; fail with what they printed."""
    printed = [process.communicate()[0] for process in processes]
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-5000:]
        assert f"{instructions} instructions" in text
    return printed


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_random_problems(drivers, instructions):
    process = start(drivers / "fuzz", 0, 2000, instructions=instructions)
    (printed,) = check(process, instructions=instructions)
    assert printed.startswith("2000 problems") and " 0 failures" in printed


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="there is no qemu-x86_64")
@pytest.mark.parametrize(
    ("processor", "instructions"),
    [("Nehalem", "generic"), ("SandyBridge", "generic"), ("Haswell", "avx2")],
)
def test_another_processor(drivers, processor, instructions):
    """In an emulator, since a processor that has AVX2 runs code that should not have it, too."""
    command = ["qemu-x86_64", "-cpu", processor, drivers / "fuzz", "0", "100"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{instructions} instructions" in process.stdout
    assert " 0 failures" in process.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="there is no qemu-aarch64")
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
def test_an_arm_processor(tmp_path):
    """Compiled by clang, which ziglang has with all that a program for another system needs."""
    compiler = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-musl", "-static"]
    fuzz = tmp_path / "fuzz"
    sources = [core.CORE / "check.cc", *core.CORE.glob("cpu/*.cc"), HERE / "fuzz.cc"]
    names = ["-DKPAC_ISA=generic", "-DKPAC_ENGINE=kpac_engine_generic", f"-I{core.CORE}"]
    subprocess.run([*compiler, *core.FLAGS, *names, *sources, "-o", fuzz, "-pthread"], check=True)
    for arguments in (["0", "2000"], ["0", "500", "--differences"], ["0", "500", "--threads"]):
        process = subprocess.run(["qemu-aarch64", fuzz, *arguments], capture_output=True, text=True)
        assert process.returncode == 0, process.stdout + process.stderr
        assert "generic instructions" in process.stdout and " 0 failures" in process.stdout


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_threads_change_no_bit(drivers, instructions):
    process = start(drivers / "fuzz", 10**6, 500, "--threads", instructions=instructions)
    check(process, instructions=instructions)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_every_element_by_finite_differences(drivers, instructions):
    process = start(drivers / "fuzz", 0, 1000, "--differences", instructions=instructions)
    check(process, instructions=instructions)


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
@pytest.mark.parametrize("instructions", build.core.instruction_sets())
def test_an_instruction_set_shows_nothing_but_its_entry_point(drivers, instructions):
    command = ["nm", "--extern-only", "--defined-only", drivers / f"engine_{instructions}.o"]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == [f"kpac_engine_{instructions}"]


def functions_of(program):
    """{address: (name, instructions, addresses of its callers)}."""
    command = ["objdump", "-d", "--no-show-raw-insn", program]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    blocks = re.findall(r"^([0-9a-f]+) <(.*)>:\n((?:.+\n)*)", code, re.MULTILINE)
    functions = {int(start, 16): (name, text, set()) for start, name, text in blocks}
    starts = list(functions)
    for start, (_, text, _) in functions.items():
        for target in re.findall(r"\b(?:call|j[a-z]+) +([0-9a-f]+) <", text):
            called = starts[bisect.bisect(starts, int(target, 16)) - 1]
            if called != start:
                functions[called][2].add(start)
    return functions


def owned_by(functions, instruction_sets):
    """The functions of these instruction sets, and those that only such functions call."""
    owned = {
        start
        for start, (name, _, _) in functions.items()
        if any(instructions in name for instructions in instruction_sets)
    }
    while True:
        more = {
            start for start, (_, _, callers) in functions.items() if callers and callers <= owned
        }
        if more <= owned:
            return owned
        owned |= more


@pytest.mark.skipif(shutil.which("objdump") is None, reason="there is no objdump")
@pytest.mark.skipif(
    "avx512" not in build.core.instruction_sets(), reason="not compiled for AVX-512"
)
@pytest.mark.parametrize("program", ["fuzz", "fuzz_linked_in_reverse"])
def test_vector_instructions_stay_behind_the_choice(drivers, program):
    """Only code of an instruction set uses its registers, in any order of linking."""
    functions = functions_of(drivers / program)
    for register, owners in {"%ymm": ("avx2", "avx512"), "%zmm": ("avx512",)}.items():
        users = {start for start, (_, text, _) in functions.items() if register in text}
        assert users
        assert not [functions[user][0] for user in users - owned_by(functions, owners)]


@pytest.mark.slow
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_sanitizers_report_nothing(sanitized, instructions):
    """20,000 problems for every instruction set, in two processes."""
    processes = [
        start(sanitized / "fuzz", first, 10_000, instructions=instructions)
        for first in (10**7, 2 * 10**7)
    ]
    check(*processes, instructions=instructions)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_more_than_2_to_the_31_pixels(drivers, instructions):
    check(start(drivers / "huge", instructions=instructions), instructions=instructions)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_no_memory_for_a_plan_has_a_status_of_its_own(drivers, instructions):
    check(start(drivers / "no_memory", instructions=instructions), instructions=instructions)

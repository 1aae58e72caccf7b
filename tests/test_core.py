"""The compiled core through its C interface, without TensorFlow: see the programs in `core/`.

`core/fuzz.cc` compares random problems with a naive float64 reference; `core/huge.cc` has pictures
of more than 2^31 pixels. Run again what they print to repeat a failure.
"""

import os
import subprocess

import pytest
from core import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler")

INSTRUCTIONS = build.instruction_sets()


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """Paths of the drivers, optimized."""
    return build.build(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Paths of the drivers with the address and undefined-behaviour sanitizers."""
    return build.build(tmp_path_factory.mktemp("sanitized"), sanitize=True)


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
    process = start(drivers["fuzz"], 0, 600, instructions=instructions)
    (printed,) = check(process, instructions=instructions)
    assert printed.startswith("600 problems") and " 0 failures" in printed


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_threads_change_no_bit(drivers, instructions):
    process = start(drivers["fuzz"], 10**6, 150, "--threads", instructions=instructions)
    check(process, instructions=instructions)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_every_element_by_finite_differences(drivers, instructions):
    process = start(drivers["fuzz"], 0, 300, "--differences", instructions=instructions)
    check(process, instructions=instructions)


@pytest.mark.slow
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_sanitizers_report_nothing(sanitized, instructions):
    """Together at least 20,000 problems for every instruction set, in two processes."""
    processes = [
        start(sanitized["fuzz"], first, 10_000, instructions=instructions)
        for first in (10**7, 2 * 10**7)
    ]
    check(*processes, instructions=instructions)


@pytest.mark.slow
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_more_than_2_to_the_31_pixels(drivers, instructions):
    check(start(drivers["huge"], instructions=instructions), instructions=instructions)

"""The programs in `custom_ops` that build and drive the core alone, as its README calls them."""

import shutil
import subprocess
import sys

import pytest

from custom_ops.build import core
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(core.cxx()[0]) is None, reason="there is no C++ compiler"),
]


def cuda_headers():
    try:
        return core.cuda_home()
    except FileNotFoundError:
        return None


def check(library, device, *build_options):
    """Build a library, and check random cases with it."""
    run("-m", "custom_ops.build.core", *build_options, "--output", library)
    run("-m", "custom_ops.harness", "--library", library, "--device", device, "--cases", 100)


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


def test_cpu(tmp_path):
    check(tmp_path / "libkeras_pac_core.so", "cpu")


@pytest.mark.skipif(cuda_headers() is None, reason="there are no CUDA headers")
def test_emulated_cuda(tmp_path):
    check(tmp_path / "libkeras_pac_emulated.so", "emulated", "--emulate")

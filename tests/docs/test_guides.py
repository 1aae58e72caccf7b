"""Every script of the documentation runs, as plain Python."""

import os
import subprocess
import sys

import pytest

from tests.support.pages import DOCS, SCRIPTS
from tests.support.paths import ROOT

# These take longer than 15 seconds of one core.
SLOW = {
    "guides/crf.py",
    "guides/export.py",
    "guides/layer.py",
    "guides/precision_devices.py",
    "guides/refinement.py",
    "guides/swap_layers.py",
    "guides/train_upsampling.py",
}


def marked(path):
    name = path.relative_to(DOCS).as_posix()
    return pytest.param(path, id=name, marks=pytest.mark.slow if name in SLOW else ())


@pytest.mark.parametrize("path", [marked(path) for path in SCRIPTS])
def test_a_script_runs(path, tmp_path):
    process = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "MPLBACKEND": "agg",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, process.stderr[-5000:]


def test_the_slow_scripts_are_there():
    assert SLOW <= {path.relative_to(DOCS).as_posix() for path in SCRIPTS}

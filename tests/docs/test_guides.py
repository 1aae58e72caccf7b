"""The quick scripts of the documentation run as plain Python, too."""

import os
import subprocess
import sys

import pytest

from tests.support.pages import DOCS, SCRIPTS
from tests.support.paths import ROOT

# These take longer than 15 seconds of one core. The site runs them (test_site.py), as all others.
SLOW = {
    "guides/crf.py",
    "guides/export.py",
    "guides/layer.py",
    "guides/precision_devices.py",
    "guides/refinement.py",
    "guides/swap_layers.py",
    "guides/train_upsampling.py",
}
NAMES = {path.relative_to(DOCS).as_posix(): path for path in SCRIPTS}


@pytest.mark.parametrize("name", sorted(NAMES.keys() - SLOW))
def test_a_script_runs(name, tmp_path):
    process = subprocess.run(
        [sys.executable, str(NAMES[name])],
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
    assert SLOW <= NAMES.keys()

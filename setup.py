"""The metadata is in pyproject.toml; this file builds the compiled op, if it is asked to.

`KERAS_PAC_BUILD_OP=1 pip install --no-build-isolation .` puts it into the wheel. It needs a C++
compiler and the TensorFlow that the op will run with. Otherwise the wheel is pure Python.
"""

import os
import pathlib
import subprocess
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

BUILD_OP = os.environ.get("KERAS_PAC_BUILD_OP", "0") not in ("", "0")


class BuildWithOp(build_py):
    """Put the library beside the modules."""

    def run(self):
        super().run()
        if self.editable_mode:
            return  # the package is used where it is, and `make op` builds there
        folder = pathlib.Path(self.build_lib, "keras_pac", "_compiled").absolute()
        build = [sys.executable, "-m", "custom_ops.build", "--folder", str(folder)]
        subprocess.run(build, cwd=pathlib.Path(__file__).resolve().parent, check=True)


class PlatformDistribution(Distribution):
    """A wheel for this platform only."""

    def has_ext_modules(self):
        return True


if BUILD_OP:
    setup(cmdclass={"build_py": BuildWithOp}, distclass=PlatformDistribution)
else:
    setup()

"""The metadata is in pyproject.toml; this file adds the text for a package index, and the op.

The sources of the op travel in every wheel. `make wheel` puts built libraries into one, from the
folder that KERAS_PAC_LIBRARIES names.
"""

import os
import pathlib
import re
import shutil

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = ("core", "tf", "xla", "build")
LIBRARIES = os.environ.get("KERAS_PAC_LIBRARIES")


def description():
    """README.md as text for a package index, from where links into the repository lead nowhere."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    here = r"\((?!https?:)[^)]*\)"
    without_pictures = re.sub(rf"!\[[^\]]*\]{here}\n\n\*[^*]*\*\n\n", "", text)  # and captions
    return re.sub(rf"(?<!!)\[([^\]]*)\]{here}", r"\1", without_pictures)


class BuildWithOp(build_py):
    """Put the sources of the op beside the modules, and its libraries."""

    def run(self):
        super().run()
        if self.editable_mode:
            return  # the package is used where it is
        package = pathlib.Path(self.build_lib, "keras_pac")
        without = shutil.ignore_patterns("__pycache__", "wheel.py", "release.py", "smoke.py")
        shutil.rmtree(package / "_custom_ops", ignore_errors=True)
        for name in SOURCES:
            source = HERE / "custom_ops" / name
            shutil.copytree(source, package / "_custom_ops" / name, ignore=without)
        if LIBRARIES:
            shutil.rmtree(package / "_compiled", ignore_errors=True)
            shutil.copytree(LIBRARIES, package / "_compiled")


class AnyPython(bdist_wheel):
    """A wheel for this platform and every Python: the libraries don't know of Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibraries(Distribution):
    """A wheel for this platform only."""

    def has_ext_modules(self):
        return True


options = {"cmdclass": {"build_py": BuildWithOp}}
if LIBRARIES:
    options["cmdclass"]["bdist_wheel"] = AnyPython
    options["distclass"] = WithLibraries
setup(long_description=description(), long_description_content_type="text/markdown", **options)

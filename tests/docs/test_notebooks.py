"""The notebooks are those that their guides make."""

import importlib.util

import pytest

from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "notebooks"
spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


@pytest.mark.parametrize("name", make.GUIDES)
def test_a_notebook_is_that_of_its_guide(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == make.notebook_of(name), "run `make notebooks`"


def test_no_notebook_is_without_a_guide():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(make.GUIDES)

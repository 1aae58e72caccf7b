"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_pac
from tests.support.paths import ROOT

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_pac.__path__, "keras_pac.")
    if module.name != "keras_pac.info"
)
NAMESPACE = {"keras": keras, "keras_pac": keras_pac, "np": np}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples_of(module):
    """The docstrings of a module that have examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(module, globs=dict(NAMESPACE)) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch):
    monkeypatch.chdir(ROOT)  # some read a file of the tests
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "torch"):
            raise
        pytest.skip(f"{error.name} is not installed")
    for test in examples_of(module):
        report = []
        result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
        assert result.failed == 0, "".join(report)


def public_objects(namespace, prefix):
    """The classes and functions that a module offers by name."""
    return [
        (f"{prefix}.{name}", getattr(namespace, name))
        for name in sorted(vars(namespace))
        if not name.startswith("_") and callable(getattr(namespace, name))
    ]


PUBLIC = [
    *public_objects(keras_pac, "keras_pac"),
    *public_objects(keras_pac.ops, "keras_pac.ops"),
    *public_objects(keras_pac.layers, "keras_pac.layers"),
    *public_objects(keras_pac.visualize, "keras_pac.visualize"),
    ("keras_pac.convert.load_pacnet_weights", keras_pac.convert.load_pacnet_weights),
]


@pytest.mark.parametrize("name, public", PUBLIC, ids=[name for name, _ in PUBLIC])
def test_every_public_object_has_a_docstring_with_an_example(name, public):
    assert public.__doc__, name
    assert doctest.DocTestParser().get_examples(public.__doc__), f"{name} has no example"

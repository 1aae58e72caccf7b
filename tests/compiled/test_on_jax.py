"""The compiled code on JAX, in processes of its own, and what is said where it can't run."""

import importlib.util
import json
import shutil

import pytest

import keras_pac
from keras_pac.ops._implementations import library
from tests.support.paths import ROOT
from tests.support.processes import output_of, run_python

FOLDER = library.chosen_folder()
NOT_BUILT = library.refusal(FOLDER, library.XLA_ADAPTER)


def needs_jax(function):
    missing = importlib.util.find_spec("jax") is None
    function = pytest.mark.skipif(missing, reason="JAX is not installed")(function)
    return pytest.mark.skipif(NOT_BUILT is not None, reason=str(NOT_BUILT))(function)


@needs_jax
@pytest.mark.parametrize("file", ["on_jax.py", "on_jax_programs.py", "on_jax_raw.py"])
def test_on_jax(file):
    process = run_python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "compiled" / file)),
        KERAS_BACKEND="jax",
        KERAS_PAC_IMPLEMENTATION="compiled",
        JAX_ENABLE_X64="1",
        JAX_DISABLE_MOST_OPTIMIZATIONS="1",  # nearly all time goes into compiling around the core
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    assert process.returncode == 0, process.stdout + process.stderr


PROGRAM = """
import pathlib, sys
from keras_pac.ops._implementations import library

library.FOLDER = pathlib.Path(sys.argv[1])
import keras, keras_pac

layer = keras_pac.PacConv2D(4, 3, padding="same")
print(keras_pac.get_implementation(), layer(keras.ops.ones((1, 5, 6, 2))).shape)
print(*keras_pac.not_supported_reasons("compiled"), sep="\\n")
"""


def reason(folder):
    """Why the libraries of a folder can't run: then the portable code does."""
    output = output_of(PROGRAM, [folder], KERAS_BACKEND="jax", XDG_CACHE_HOME=str(folder / "no"))
    first, *reasons = output.splitlines()
    assert first == "taps (1, 5, 6, 4)"
    (sentence,) = reasons
    assert sentence.endswith(".")
    return sentence


@needs_jax
def test_without_libraries_the_portable_code_runs(tmp_path):
    assert "is not built" in reason(tmp_path)


@needs_jax
def test_an_adapter_alone_is_not_loaded(tmp_path):
    for name in (library.XLA_ADAPTER, "keras_pac_xla.json"):
        shutil.copy(FOLDER / name, tmp_path)
    assert library.CORE.removesuffix(".so") in reason(tmp_path) or "not built" in reason(tmp_path)


@needs_jax
def test_a_core_without_the_adapter_for_jax_is_told(tmp_path):
    for name in (library.CORE, "libkeras_pac_core.json"):
        shutil.copy(FOLDER / name, tmp_path)
    assert "there, but not for jax" in reason(tmp_path)


def copy_with_changes(folder, name, changes):
    """Copy the libraries; the file beside the one of that name says something else."""
    for library_name in (library.CORE, library.XLA_ADAPTER):
        shutil.copy(FOLDER / library_name, folder)
        shutil.copy((FOLDER / library_name).with_suffix(".json"), folder)
    path = (folder / name).with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@needs_jax
def test_an_adapter_for_another_core_is_refused(tmp_path):
    copy_with_changes(tmp_path, library.CORE, {"state": "another"})
    assert f"{library.XLA_ADAPTER} was built for another {library.CORE}" in reason(tmp_path)


@needs_jax
def test_an_adapter_for_a_newer_interface_is_refused(tmp_path):
    """JAX itself would find out later, and then not start at all."""
    copy_with_changes(tmp_path, library.XLA_ADAPTER, {"ffi": "0.99"})
    assert "was built for version 0.99 of XLA's interface" in reason(tmp_path)


@needs_jax
def test_a_cache_for_another_jax_does_not_hide_the_libraries_of_the_package(tmp_path):
    package, cache = tmp_path / "package", tmp_path / "keras_pac" / keras_pac.__version__
    for folder, changes in ((package, {}), (cache, {"ffi": "0.99"})):
        folder.mkdir(parents=True)
        copy_with_changes(folder, library.XLA_ADAPTER, changes)
    output = output_of(PROGRAM, [package], KERAS_BACKEND="jax", XDG_CACHE_HOME=str(tmp_path))
    assert output.splitlines()[0] == "compiled (1, 5, 6, 4)"

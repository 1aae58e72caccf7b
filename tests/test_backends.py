"""The package on the other backends of Keras, and with nothing but its core dependencies."""

import importlib.util

import keras
import numpy as np
import pytest

import keras_pac
from keras_pac.info import info
from keras_pac.ops._implementations import library
from tests.support.backend_check import upsampled
from tests.support.paths import ROOT
from tests.support.processes import output_of, run_python


# PyTorch is large: `make test-slow` installs it.
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow)])
def test_another_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    expected = tmp_path / "upsampled.npy"
    np.save(expected, upsampled())
    process = run_python("-m", "tests.support.backend_check", expected, KERAS_BACKEND=backend)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"all checks passed on {backend}" in process.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["check", "places_check", "refusals_check"])
def test_the_core_on_torch(name):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    if not (library.chosen_folder() / library.CORE).exists():
        pytest.skip("the compiled op is not built")
    file = ROOT / "tests" / "compiled" / f"on_torch_{name}.py"
    process = run_python("-m", "pytest", "-q", file, KERAS_BACKEND="torch")
    assert process.returncode == 0, process.stdout + process.stderr


CORE_ONLY = """
import sys

# To import these raises an ImportError.
sys.modules.update(dict.fromkeys(["tensorflow_datasets", "skimage", "matplotlib", "scipy"]))
import keras_pac, keras

layer = keras_pac.PacConv2D(4, 3, padding="same")
print(tuple(layer(keras.ops.ones((1, 5, 6, 2))).shape))
"""


def test_the_core_dependencies_are_enough():
    assert output_of(CORE_ONLY).strip() == "(1, 5, 6, 4)"


def test_info_has_a_row_for_every_backend():
    lines = info()
    for name in ("tensorflow", "jax", "torch"):
        cells = next(line.split()[1:] for line in reversed(lines) if line.startswith(f"{name} "))
        if importlib.util.find_spec(name) is None:
            assert cells == ["no"] * 3 and f"  {name}: it is not installed" in lines
        else:
            assert cells[1:] == ["yes", "yes" if name == "tensorflow" else "no"]
            if name == keras.backend.backend():
                missing = keras_pac.not_supported_reasons("compiled")
                assert cells[0] == ("no" if missing else "yes")


WITHOUT_TENSORFLOW = """
import sys

sys.modules["tensorflow"] = None  # to import it raises an ImportError
import keras_pac, keras
from keras_pac.info import info

print(keras_pac.PacConv2D(4, 3, padding="same")(keras.ops.ones((1, 5, 6, 2))).shape)
print(*info(), sep="\\n")
"""


def test_jax_needs_no_tensorflow():
    shape, *lines = output_of(WITHOUT_TENSORFLOW, KERAS_BACKEND="jax").splitlines()
    assert shape == "(1, 5, 6, 4)"
    assert (
        "patches       it needs the TensorFlow backend of Keras, and the backend is 'jax'." in lines
    )
    (compiled,) = (line for line in lines if line.startswith("compiled "))
    runs = compiled == "compiled      runs here"
    assert runs or "the compiled op is not built" in compiled
    assert f"in use        {'compiled' if runs else 'taps'} (default)" in lines

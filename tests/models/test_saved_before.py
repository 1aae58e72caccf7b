"""Files that earlier code saved, before the package's modules moved: they load and give the same.

`tests/reference/saved_before` was made by version 0.1.0 at 47ec510: `model.keras` has every layer
and operation of the package, with all kinds of options; `saved_model` is an exported `Sequential`;
`arrays.npz` has their inputs, and their outputs by the portable code on the CPU.
"""

import json
import zipfile

import keras
import numpy as np
import pytest

import keras_pac
from tests.support.paths import REFERENCE
from tests.support.processes import output_of
from tests.support.tolerances import assert_close

FOLDER = REFERENCE / "saved_before"
LAYERS = {
    "CropLike",
    "LogProbabilities",
    "PacCRF",
    "PacCRFLoose",
    "PacConv2D",
    "PacConv2DTranspose",
    "PacOperation",
    "PacPool2D",
    "PositionColorFeatures",
    "ResizeLike",
}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "arrays.npz") as file:
        return dict(file)


def operations_of(model):
    """The class names of all operations of a functional model and the models in it."""
    names = set()
    for operation in model.operations:
        names.add(type(operation).__name__)
        if isinstance(operation, keras.Model):
            names |= operations_of(operation)
    return names


def made_with(path):
    """The version of Keras that saved a model, and this one."""
    with zipfile.ZipFile(path) as file:
        saved = json.loads(file.read("metadata.json"))["keras_version"]
    return tuple(tuple(map(int, v.split(".")[:2])) for v in (saved, keras.__version__))


def test_a_model_of_all_layers(implementation, arrays):
    saved, here = made_with(FOLDER / "model.keras")
    if here < saved:
        pytest.skip(f"Keras {keras.__version__} does not know all that a newer one has saved")
    model = keras.models.load_model(FOLDER / "model.keras")
    assert LAYERS <= operations_of(model)
    for i, y in enumerate(model([arrays["photo"], arrays["low"]])):
        assert_close(y, arrays[f"y{i}"], "float32", f"output {i}")


def test_a_joint_upsampler(implementation, arrays):
    model = keras.models.load_model(FOLDER / "joint_bilateral.keras")
    assert isinstance(model, keras_pac.models.JointBilateralUpsample)
    y = model([arrays["low"], arrays["photo"]])
    assert_close(y, arrays["joint_bilateral"], "float32")


def test_a_saved_model(arrays, tmp_path):
    code = """
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1] + "/saved_model")
x = np.load(sys.argv[1] + "/arrays.npz")["small"]
np.save(sys.argv[2], model.serve(tf.constant(x)))
assert "keras_pac" not in sys.modules
"""
    output_of(code, arguments=[FOLDER, tmp_path / "y.npy"], path=[])
    assert_close(np.load(tmp_path / "y.npy"), arrays["small_y"], "float32")

"""What is exported runs where `keras_pac` is not installed, with TensorFlow's own operations."""

import numpy as np
import pytest

from tests.support.exported import LOAD
from tests.support.layer_cases import inputs_of, model_of, shaken
from tests.support.processes import output_of
from tests.support.tolerances import assert_close

# Standard operations, but they call back into the Python process that made them.
PYTHON_CALLS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


@pytest.mark.parametrize("name", ["conv options", "transposed", "pool options"])
def test_an_exported_model_runs_without_the_package(implementation, name, rng, tmp_path):
    model = model_of(name)
    shaken(model, rng)
    inputs = inputs_of(name, rng)
    expected = model.predict(inputs, verbose=0)
    model.export(tmp_path / "model", verbose=False)
    np.savez(tmp_path / "inputs.npz", a=inputs[0], b=inputs[1])
    # A process that registers no operations of its own can only load TensorFlow's.
    operations = output_of(LOAD, arguments=[tmp_path], path=[]).split()
    assert "StatefulPartitionedCall" in operations
    assert PYTHON_CALLS.isdisjoint(operations)
    assert_close(np.load(tmp_path / "outputs.npy"), expected, "float32")

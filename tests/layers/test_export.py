"""What is exported runs where `keras_pac` is not installed, with TensorFlow's own operations."""

import pytest

from tests.support.exported import run_exported
from tests.support.layer_cases import inputs_of, model_of, shaken
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
    outputs, operations = run_exported(tmp_path, inputs)
    assert "StatefulPartitionedCall" in operations
    assert PYTHON_CALLS.isdisjoint(operations)
    assert_close(outputs, expected, "float32")

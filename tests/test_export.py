"""What is exported runs where `keras_pac` is not installed, with TensorFlow's own operations."""

import numpy as np
import pytest
from processes import output_of
from test_layers import inputs_of, model_of, shaken
from tolerances import assert_close

LOAD = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keras_pac":
            raise ImportError(f"{name} is not to be imported here")


sys.meta_path.insert(0, Refuse())
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
inputs = np.load(folder + "/inputs.npz")
model = tf.saved_model.load(folder + "/model")
outputs = model.serve([tf.constant(inputs[name]) for name in sorted(inputs.files)])
np.save(folder + "/outputs.npy", outputs)
assert "keras_pac" not in sys.modules
graph = model.signatures["serving_default"].graph.as_graph_def()
nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
print(*sorted({node.op for node in nodes}))
"""
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

"""Runs an exported model where `keras_pac` cannot be imported."""

import numpy as np

from tests.support.processes import output_of

LOAD = """
import sys

sys.modules["keras_pac"] = None  # to import it raises an ImportError
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
inputs = np.load(folder + "/inputs.npz")
model = tf.saved_model.load(folder + "/model")
outputs = model.serve([tf.constant(inputs[name]) for name in sorted(inputs.files)])
np.save(folder + "/outputs.npy", outputs)
graph = model.signatures["serving_default"].graph.as_graph_def()
nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
print(*sorted({node.op for node in nodes}))
"""


def run_exported(folder, inputs):
    """Run the model in `folder / "model"` with two inputs, in a process of its own.

    Such a process registers no operations: it can load only those of TensorFlow. Return the output
    and the names of the operations.
    """
    np.savez(folder / "inputs.npz", a=inputs[0], b=inputs[1])
    operations = output_of(LOAD, arguments=[folder], path=[]).split()
    return np.load(folder / "outputs.npy"), operations

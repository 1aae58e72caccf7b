"""A program that loads an exported model where `keras_pac` cannot be imported."""

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

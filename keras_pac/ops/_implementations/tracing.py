"""Keeps the compiled op out of XLA and out of what is saved for another process.

TensorFlow runs a custom op wherever its library is loaded. XLA cannot compile it, and a
SavedModel, LiteRT or ONNX file that holds it would load only where the library is. So each call
asks, while its graph is traced, where it is: inside XLA the core is called in another way
(`compiled/on_tensorflow_xla.py`), and in what is saved `taps` stands in. There are five situations
to recognise, and TensorFlow has no public function for any of them:

1. *A graph that XLA compiles.* `tf.function(jit_compile=True)` and all that it calls is traced
   inside an XLA context. `tf.__internal__.get_enclosing_xla_context` tells.
2. *A graph that is traced to be saved.* `model.export`, `tf.saved_model.save`, the LiteRT, ONNX and
   OpenVINO converters trace functions again. Nothing in the graph says so; the modules on the call
   stack do (`EXPORTERS`).
3. *A function that was traced before, and is then called inside XLA.* It is not traced again, so
   XLA meets the op and refuses it with an error that shows the name of the node. The op's nodes are
   therefore called `NODE_NAME`, which is the advice that the user needs.
4. *A concrete function that was made before, and is then saved.* It is not traced again either.
   Each graph with the op therefore captures a resource that no object tracks: TensorFlow refuses to
   save such a graph, and its error shows the resource's name, which is the same advice.
5. *A concrete function that was made before, and is then given to a converter.* Those for LiteRT
   and ONNX freeze it: they replace the variables that its graph has read by their values. The
   resource of 4 is therefore a variable that the graph has read, and to ask for its value is an
   error with the same advice.

Not covered: OpenVINO does not freeze; its error names only the op.

Keras itself turns XLA on for a GPU; see `avoids_xla` in the package's `__init__`.
"""

import concurrent.futures
import functools

import tensorflow as tf

from keras_pac.ops._implementations.call_stack import on_the_call_stack

NODE_NAME = "in_XLA_call_keras_pac.set_implementation_taps_first"
ADVICE = "call keras_pac.set_implementation('taps') before tracing what is saved"
# A graph that one of these modules traces is saved for another process.
EXPORTERS = (
    "tensorflow.python.saved_model.",
    "tensorflow.lite.",
    "keras.src.export.",
    "tf2onnx",
    "openvino.",
)


def place():
    """Where the call comes from: "eager", "graph", "xla" or "export"."""
    if tf.executing_eagerly():
        return "eager"
    if on_the_call_stack(EXPORTERS):
        return "export"
    in_xla = tf.__internal__.get_enclosing_xla_context() is not None
    return "xla" if in_xla else "graph"


def keep_from_saving():
    """Let the graph that is traced refuse to be saved, or converted, for another process."""
    graph = tf.compat.v1.get_default_graph()
    if hasattr(graph, "capture"):
        _keep_from_saving(graph)


def _keep_from_saving(graph):
    """Let a graph read a variable that can neither be saved nor frozen."""
    with tf.init_scope():
        if tf.executing_eagerly():
            variable = _variable()
            graph.watch_variable(variable)
            resource = variable.handle
        else:
            # Inside a `tf.Graph` the resource must belong to that graph.
            with tf.device("CPU:0"):
                resource = tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=(), shared_name=ADVICE)
    graph.capture(resource)


@functools.cache
def _variable():
    """The variable that refuses.

    It is made in a thread of its own: name scopes, distribution strategies and creators of
    variables belong to a thread, and none of them may change it.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        variable = thread.submit(_make_variable).result()
    variable.numpy = _refuse
    return variable


def _make_variable():
    with tf.device("CPU:0"):
        return tf.Variable(False, trainable=False, name=ADVICE)


def _refuse():
    raise ValueError(
        "This function was traced with the compiled op of keras_pac, which runs only in a process "
        f"that has keras_pac. To convert it, {ADVICE}, or give the converter the Keras model."
    )

"""Keeps the compiled op out of XLA and out of what is saved for another process.

TensorFlow runs a custom op wherever its library is loaded. XLA cannot compile it, and a
SavedModel, LiteRT or ONNX file that holds it would load only where the library is. So each call
asks, while its graph is traced, whether the op fits there; else `taps` is traced instead. There are
four situations to recognise, and TensorFlow has no public function for any of them:

1. *A graph that XLA compiles.* `tf.function(jit_compile=True)` and all that it calls is traced
   inside an XLA context. `tf.__internal__.get_enclosing_xla_context` tells.
2. *A graph that is traced to be saved.* `model.export`, `tf.saved_model.save`, the LiteRT and ONNX
   converters trace functions again. Nothing in the graph says so; the modules on the call stack do
   (`EXPORTERS`).
3. *A function that was traced before, and is then called inside XLA.* It is not traced again, so
   XLA meets the op and refuses it with an error that shows the name of the node. The op's nodes are
   therefore called `NODE_NAME`, which is the advice that the user needs.
4. *A concrete function that was made before, and is then saved.* It is not traced again either.
   Each graph with the op therefore captures a resource that no object tracks: TensorFlow refuses to
   save such a graph, and its error shows the resource's name, which is the same advice.

Not covered: freezing a concrete function by hand, or giving it to the LiteRT converter.

Keras itself turns XLA on for a GPU; see `avoids_xla` in the package's `__init__`.
"""

import functools
import sys

import tensorflow as tf

NODE_NAME = "in_XLA_call_keras_pac.set_implementation_taps_first"
RESOURCE_NAME = "call keras_pac.set_implementation('taps') before tracing what is saved"
# A graph that one of these modules traces is saved for another process.
EXPORTERS = ("tensorflow.python.saved_model.", "tensorflow.lite.", "keras.src.export.", "tf2onnx")


def op_fits_here():
    """Whether the op may be put where the call comes from: neither into XLA nor into an export."""
    if tf.executing_eagerly():
        return True
    if tf.__internal__.get_enclosing_xla_context() is not None or _exporting():
        return False
    graph = tf.compat.v1.get_default_graph()
    if hasattr(graph, "capture"):
        graph.capture(_resource_that_cannot_be_saved())
    return True


def _exporting():
    """Whether one of the exporters is on the call stack."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


def _resource_that_cannot_be_saved():
    with tf.init_scope(), tf.device("CPU:0"):
        # Inside a `tf.Graph` the resource must belong to that graph.
        return _eager_resource() if tf.executing_eagerly() else _resource()


def _resource():
    return tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=(), shared_name=RESOURCE_NAME)


_eager_resource = functools.cache(_resource)

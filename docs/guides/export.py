# %% [markdown]
# # Export
#
# This page saves one model in every way that we test, loads each file, and compares
# what it computes with the model. The [table of exports](/results/exports.md) has the
# same for more models and runtimes.

# %%
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

import keras_pac

tf.get_logger().setLevel("ERROR")
folder = pathlib.Path(tempfile.mkdtemp())

# %% [markdown]
# The model filters a map, guided by a picture of the same size. Its heights and widths
# are unknown, so it takes images of any size.

# %%
keras.utils.set_random_seed(0)
noisy = keras.Input((None, None, 1), name="map")
picture = keras.Input((None, None, 3), name="picture")
features = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(picture)
x = keras_pac.PacConv2D(16, 5, padding="same", activation="relu")([noisy, features])
model = keras.Model([noisy, picture], keras.layers.Conv2D(1, 3, padding="same")(x))

rng = np.random.default_rng(0)


def random_inputs(batch, height, width):
    return [
        rng.random((batch, height, width, channels), "float32") for channels in (1, 3)
    ]


inputs = random_inputs(1, 48, 64)
expected = model.predict(inputs, verbose=0)


def compare(name, y):
    print(f"{name}: largest difference {np.abs(np.array(y) - expected).max():.0e}")


print("implementation:", keras_pac.get_implementation())
print(f"outputs from {expected.min():.2f} to {expected.max():.2f}")

# %% [markdown]
# ## Keras's own file
#
# A `.keras` file has the layers with all arguments, the weights, and the state of the
# optimizer. It loads where keras_pac is installed and imported, on every backend of
# Keras.

# %%
model.save(folder / "model.keras")
loaded = keras.models.load_model(folder / "model.keras")
compare(".keras", loaded.predict(inputs, verbose=0))

# %% [markdown]
# ## SavedModel
#
# A SavedModel needs TensorFlow only: `keras_pac` does not have to be installed where it
# is loaded.

# %%
model.export(folder / "saved_model", verbose=False)
served = tf.saved_model.load(folder / "saved_model")
compare("SavedModel", served.serve(inputs))

# %% [markdown]
# Where the compiled op computes here, the file has TensorFlow's own operations instead:
# the export traces the portable implementation, `taps`. There is nothing to choose
# before. These are the operations of the file:

# %%
graph = served.signatures["serving_default"].graph.as_graph_def()
nodes = [
    *graph.node,
    *(node for function in graph.library.function for node in function.node_def),
]
operations = {node.op for node in nodes}
print(
    len(operations),
    "kinds, such as",
    *sorted(operations & {"Conv2D", "Exp", "MatMul", "Pad"}),
)
print("of keras_pac:", [name for name in operations if "KerasPac" in name])

# %% [markdown]
# ## XLA
#
# `jit_compile=True` compiles what was loaded with XLA. (A model that was not exported
# can be compiled, too: `model.compile(…, jit_compile=True)`.) XLA wants to know sizes,
# so each new size is compiled anew.

# %%
compare("XLA", tf.function(served.serve, jit_compile=True)(inputs))

# %% [markdown]
# ## ONNX
#
# This needs the packages `tf2onnx` and `onnx`, and `onnxruntime` to run the file.

# %%
import onnxruntime

model.export(folder / "model.onnx", format="onnx", verbose=False)
session = onnxruntime.InferenceSession(folder / "model.onnx")
print([spec.name for spec in session.get_inputs()])


def run_onnx(inputs):
    return session.run(None, {"map": inputs[0], "picture": inputs[1]})[0]


compare("ONNX", run_onnx(inputs))

# %% [markdown]
# A Sequential has to be called once before it is written as ONNX.
#
# ## LiteRT
#
# For phones and small devices. Where Keras does not know the format `"litert"` (3.10
# does not), give the SavedModel to `tf.lite.TFLiteConverter.from_saved_model`. The
# interpreter of `ai-edge-litert` runs the file with its own operations alone. It wants
# to be told the sizes before it runs:

# %%
from ai_edge_litert.interpreter import Interpreter

model.export(folder / "model.tflite", format="litert", verbose=False)
interpreter = Interpreter(str(folder / "model.tflite"))


def run_litert(inputs):
    # Sorted by name, they are in the order of the model's inputs.
    specs = sorted(interpreter.get_input_details(), key=lambda spec: spec["name"])
    for spec, x in zip(specs, inputs):
        interpreter.resize_tensor_input(spec["index"], x.shape)
    interpreter.allocate_tensors()
    for spec, x in zip(specs, inputs):
        interpreter.set_tensor(spec["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


compare("LiteRT", run_litert(inputs))

# %% [markdown]
# ## Other sizes
#
# The files take images of another size and more of them than those above:

# %%
inputs = random_inputs(3, 33, 40)
expected = model.predict(inputs, verbose=0)
compare("SavedModel", served.serve(inputs))
compare("ONNX", run_onnx(inputs))
compare("LiteRT", run_litert(inputs))

# %% [markdown]
# A device that can't resize needs a file of fixed sizes, batch included. Give a
# function with such sizes to the converter, traced with `taps`:

# %%
fixed = [tf.TensorSpec(x.shape, tf.float32) for x in inputs]
with keras_pac.implementation("taps"):
    function = tf.function(lambda *inputs: model(inputs))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function(*fixed)]
    )
(folder / "model.tflite").write_bytes(converter.convert())
interpreter = Interpreter(str(folder / "model.tflite"))
print([tuple(map(int, spec["shape"])) for spec in interpreter.get_input_details()])
compare("LiteRT, fixed sizes", run_litert(inputs))

# %% [markdown]
# ## The files

# %%
for path in sorted(folder.iterdir()):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    print(
        f"{path.name:<13} {sum(file.stat().st_size for file in files) / 1024:6.0f} KiB"
    )

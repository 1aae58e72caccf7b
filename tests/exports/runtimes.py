"""Runs exported models in a process of its own, where keras_pac cannot be imported.

`python runtimes.py NAME` serves one runtime: each line that it reads is a folder with `inputs.npz`
and a model; it writes `outputs.npz` there, or `error.txt`, and answers `DONE`. It stays alive,
since importing TensorFlow takes longer than running a small model.
"""

import pathlib
import sys
import traceback

import numpy as np

DONE = "done"


def saved_model(folder, all_inputs, **options):
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "model"))
    serve = tf.function(model.serve, **options)
    return [serve(inputs if len(inputs) > 1 else inputs[0]) for inputs in all_inputs]


def xla(folder, all_inputs):
    return saved_model(folder, all_inputs, jit_compile=True)


def onnx(folder, all_inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = sorted(spec.name for spec in session.get_inputs())
    return [session.run(None, dict(zip(names, inputs)))[0] for inputs in all_inputs]


def litert(folder, all_inputs):
    # This interpreter has no TensorFlow operations to fall back to.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"))
    specs = sorted(interpreter.get_input_details(), key=lambda spec: spec["name"])
    outputs = []
    for inputs in all_inputs:
        for spec, x in zip(specs, inputs):
            interpreter.resize_tensor_input(spec["index"], x.shape)
        interpreter.allocate_tensors()
        for spec, x in zip(specs, inputs):
            interpreter.set_tensor(spec["index"], x)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    constants = [tensor["dtype"] for tensor in interpreter.get_tensor_details()]
    (folder / "int8.txt").write_text(str(constants.count(np.int8)))
    return outputs


def openvino(folder, all_inputs):
    import openvino

    # Where the processor multiplies bfloat16 matrices (AMX), OpenVINO would do so by itself.
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.compile_model(folder / "model.xml", "CPU", precision)
    names = sorted(spec.any_name for spec in model.inputs)
    return [model(dict(zip(names, inputs)))[0] for inputs in all_inputs]


def inputs_in(folder):
    """The list of lists that was saved as `"{call}_{input}"`."""
    with np.load(folder / "inputs.npz") as file:
        calls = sorted({name.split("_")[0] for name in file.files})
        return [[file[n] for n in sorted(file.files) if n.startswith(call + "_")] for call in calls]


def serve(run):
    for line in sys.stdin:
        folder = pathlib.Path(line.rstrip("\n"))
        try:
            outputs = run(folder, inputs_in(folder))
            np.savez(folder / "outputs.npz", *map(np.asarray, outputs))
        except Exception:
            (folder / "error.txt").write_text(traceback.format_exc())
        print(DONE, flush=True)


if __name__ == "__main__":
    sys.modules["keras_pac"] = None  # to import it raises an ImportError
    serve({f.__name__: f for f in (saved_model, xla, onnx, litert, openvino)}[sys.argv[1]])

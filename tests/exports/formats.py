"""Writes a model in each format, the columns of docs/results/exports.md, and has it run."""

import functools
import importlib.util
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tests.exports import runtimes


def keras_has(name):
    """Whether this Keras exports a format; the oldest one has neither LiteRT nor OpenVINO."""
    return f'"{name}"' in keras.Model.export.__doc__


def saved_model(model, folder):
    model.export(str(folder / "model"), format="tf_saved_model", verbose=False)


def onnx(model, folder):
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False)


def litert(model, folder, **options):
    path = folder / "model.tflite"
    if keras_has("litert"):
        model.export(str(path), format="litert", verbose=False, **options)
        return
    saved_model(model, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "model"))
    for name, value in options.items():
        setattr(converter, name, value)
    path.write_bytes(converter.convert())


def litert_int8(model, folder):
    litert(model, folder, optimizations=[tf.lite.Optimize.DEFAULT])


def openvino(model, folder):
    path = folder / "model.xml"
    if keras_has("openvino"):
        model.export(str(path), format="openvino", verbose=False)
        return
    import openvino

    saved_model(model, folder)
    openvino.save_model(openvino.convert_model(folder / "model"), path, compress_to_fp16=False)


class Format(NamedTuple):
    """How a format is written and run, and what has to be installed for that."""

    write: object
    runtime: str  # a function of `runtimes`
    packages: tuple = ()

    @property
    def missing(self):
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


FORMATS = {
    "SavedModel": Format(saved_model, "saved_model"),
    "XLA": Format(saved_model, "xla"),
    "ONNX": Format(onnx, "onnx", ("tf2onnx", "onnxruntime")),
    "LiteRT": Format(litert, "litert", ("ai_edge_litert",)),
    "LiteRT int8": Format(litert_int8, "litert", ("ai_edge_litert",)),
    "OpenVINO": Format(openvino, "openvino", ("openvino",)),
}


@functools.cache
def _server(runtime):
    """A process that runs models; it ends with this one, when its input is closed."""
    return subprocess.Popen(
        [sys.executable, runtimes.__file__, runtime],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(runtime, folder, all_inputs):
    """The outputs, one for each list of inputs, of the model in a folder; or a RuntimeError."""
    arrays = {f"{i}_{j}": x for i, inputs in enumerate(all_inputs) for j, x in enumerate(inputs)}
    np.savez(folder / "inputs.npz", **arrays)
    server = _server(runtime)
    print(folder, file=server.stdin, flush=True)
    for line in server.stdout:  # a runtime may print something, too
        if line == runtimes.DONE + "\n":
            break
    else:
        _server.cache_clear()
        raise RuntimeError(f"The process died with {server.wait()}")
    if (folder / "error.txt").exists():
        raise RuntimeError((folder / "error.txt").read_text())
    with np.load(folder / "outputs.npz") as file:
        return [file[f"arr_{i}"] for i in range(len(all_inputs))]

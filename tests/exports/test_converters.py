"""Converters that are called by hand, where the compiled op runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from tests.exports.formats import FORMATS, run
from tests.support.compiled_op import needs_op
from tests.support.tolerances import assert_close

pytestmark = needs_op
SPECS = [tf.TensorSpec((1, 7, 8, 3)), tf.TensorSpec((1, 7, 8, 2))]
CURE = r"keras_pac.set_implementation\('taps'\)"


def needs(name):
    missing = FORMATS[name].missing
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


@pytest.fixture
def model():
    x, guide = keras.Input((7, 8, 3), name="a"), keras.Input((7, 8, 2), name="b")
    with keras_pac.implementation("compiled"):
        yield keras.Model([x, guide], keras_pac.PacConv2D(4, 3)([x, guide]))


def traced(model):
    """A function with one trace, and that trace."""
    function = tf.function(lambda a, b: model([a, b]))
    return function, function.get_concrete_function(*SPECS)


def to_litert(concrete):
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def check(model, rng, name, folder):
    """What was written to a folder computes what the model does."""
    inputs = [rng.normal(size=spec.shape).astype("float32") for spec in SPECS]
    (output,) = run(FORMATS[name].runtime, folder, [inputs])
    assert_close(output, model(inputs), "float32")


def test_litert_names_the_cure_for_a_concrete_function(model):
    _, concrete = traced(model)
    with pytest.raises(ValueError, match=CURE):
        to_litert(concrete)


def test_litert_names_the_cure_for_a_function_that_calls_another(model):
    inner, _ = traced(model)
    outer = tf.function(lambda a, b: 2 * inner(a, b))
    with pytest.raises(ValueError, match=CURE):
        to_litert(outer.get_concrete_function(*SPECS))


@needs("ONNX")
def test_onnx_names_the_cure_for_a_traced_function(model):
    import tf2onnx

    function, _ = traced(model)
    with pytest.raises(ValueError, match=CURE):
        tf2onnx.convert.from_function(function, SPECS)


@needs("OpenVINO")
def test_openvino_names_the_op_in_a_concrete_function(model):
    """Nothing of keras_pac runs there; docs/results/exports.md has the cure."""
    import openvino

    _, concrete = traced(model)
    with pytest.raises(Exception, match="No conversion rule found for operations: KerasPac>"):
        openvino.convert_model(concrete)


@needs("LiteRT")
def test_the_cure_works_for_litert(model, rng, tmp_path):
    with keras_pac.implementation("taps"):
        _, concrete = traced(model)
    (tmp_path / "model.tflite").write_bytes(to_litert(concrete))
    check(model, rng, "LiteRT", tmp_path)


@needs("OpenVINO")
def test_the_cure_works_for_openvino(model, rng, tmp_path):
    import openvino

    with keras_pac.implementation("taps"):
        _, concrete = traced(model)
    openvino.save_model(openvino.convert_model(concrete), tmp_path / "model.xml", False)
    check(model, rng, "OpenVINO", tmp_path)


@needs("LiteRT")
def test_litert_converts_a_model(model, rng, tmp_path):
    converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "model.tflite").write_bytes(converted)
    check(model, rng, "LiteRT", tmp_path)


@needs("OpenVINO")
def test_openvino_converts_a_model(model, rng, tmp_path):
    import openvino

    openvino.save_model(openvino.convert_model(model), tmp_path / "model.xml", False)
    check(model, rng, "OpenVINO", tmp_path)


def test_a_function_with_the_op_still_runs_and_trains(model, rng):
    """The variable that stops converters is no variable of the model, and is never read."""
    inputs = [rng.normal(size=spec.shape).astype("float32") for spec in SPECS]
    function, concrete = traced(model)
    with tf.GradientTape() as tape:
        y = function(*map(tf.constant, inputs))
    watched = {id(v) for v in tape.watched_variables()}
    assert watched == {id(w.value) for w in model.trainable_weights}
    assert_close(y, model(inputs), "float32")
    assert_close(concrete(*map(tf.constant, inputs)), np.asarray(y), "float32")

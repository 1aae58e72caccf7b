"""Save and reload: every option of every layer is kept, and so are weights and results."""

import inspect
import json
import pathlib
import tempfile

import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_pac import PairwiseKernel
from keras_pac.layers.crop_like import CropLike
from tests.properties.layer_strategies import (
    FIELDS,
    GUIDED,
    OTHERS,
    guided_layers,
    other_layers,
    random_fields,
)
from tests.properties.runs import check, examples
from tests.properties.strategies import FEW, SEEDS
from tests.support.layer_cases import shaken
from tests.support.oracle import pair

CHANNELS = 2
PAIRS = ("kernel_size", "strides", "dilation_rate", "output_padding")


@st.composite
def layers(draw, kind):
    """(kind, arguments, input size)."""
    if kind in GUIDED:
        arguments, size = draw(guided_layers(kind, CHANNELS))
    else:
        arguments = draw(random_fields() if kind in FIELDS else other_layers(kind))
        size = draw(st.tuples(st.integers(3, 6), st.integers(3, 6)))
    return kind, arguments, size


each_kind = pytest.mark.parametrize("kind", [*GUIDED, *FIELDS, *OTHERS])


def as_config(name, value):
    """A drawn argument as a config has to have it."""
    if name in PAIRS and value is not None:
        return pair(value)
    if name == "padding" and not isinstance(value, str):
        return tuple(pair(side) for side in pair(value))
    if name == "kernels":
        kernels = [k.get_config() if isinstance(k, PairwiseKernel) else k for k in value]
        return [{key: as_config(key, each) for key, each in k.items()} for k in kernels]
    for kind in ("activation", "initializer", "regularizer", "constraint"):
        if name.endswith(kind):
            module = getattr(keras, f"{kind}s")
            return module.serialize(module.get(value))
    if name == "dtype":
        return keras.dtype_policies.serialize(keras.dtype_policies.get(value))
    return value


@each_kind
def test_every_argument_is_drawn(kind):
    drawn = []

    @check(1, layers(kind))
    def _(layer):
        drawn.append(set(layer[1]))

    arguments, of_keras = (
        set(inspect.signature(each.__init__).parameters) for each in (kind, keras.layers.Layer)
    )
    assert arguments - of_keras - {"args", "kwargs"} <= drawn[0]


@each_kind
@examples(few=80, many=120)
def test_the_config_has_what_was_given_and_makes_the_same_layer(kind, count):
    @check(count, layers(kind))
    def _(drawn):
        _, arguments, _ = drawn
        config = kind(**arguments).get_config()
        for name, value in arguments.items():
            assert config[name] == as_config(name, value), name
        # As a file has it: JSON makes lists of tuples.
        written = json.loads(json.dumps(keras.saving.serialize_keras_object(kind(**arguments))))
        again = keras.saving.deserialize_keras_object(written)
        assert type(again) is kind
        assert again.get_config() == config


def shape_of(arguments, batch, size, channels):
    """The shape of an image in the layout that a layer has, channels last if it has none."""
    if arguments.get("data_format") == "channels_first":
        return (batch, channels, *size)
    return (batch, *size, channels)


def input_shapes(kind, arguments, size, guide_given):
    """The shapes of what a layer is called with, for two images of `size`."""
    x = shape_of(arguments, 2, size, CHANNELS)
    if kind in FIELDS:
        return [x, shape_of(arguments, 2, size, 3)]
    if kind not in GUIDED:
        other = shape_of(arguments, 2, (1, 1) if kind is CropLike else (2, 5), 1)
        return [x, other] if kind.__name__.endswith("Like") else [x]
    if arguments["guide_filters"] or not guide_given:
        return [x]
    guide_size, layer = size, kind(**arguments)
    if "output_padding" in arguments:
        y = layer.compute_output_shape(x)
        guide_size = y[2:] if arguments["data_format"] == "channels_first" else y[1:3]
    return [x, shape_of(arguments, 2, guide_size, CHANNELS)]


def model_of(kind, arguments, shapes):
    """A model of one layer, made for inputs of these shapes."""
    inputs = [keras.Input(shape[1:]) for shape in shapes]
    layer = kind(**arguments)
    return keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))


def losses_of(layer):
    return [float(loss) for loss in layer.losses]


@each_kind
@examples(few=40, many=60)
def test_a_file_gives_back_the_layer(kind, count):
    @check(count, layers(kind), st.booleans(), SEEDS)
    def _(drawn, guide_given, seed):
        _, arguments, size = drawn
        rng, shapes = np.random.default_rng(seed), input_shapes(*drawn, guide_given)
        model = model_of(kind, arguments, shapes)
        inputs = [rng.random(shape) for shape in shapes]
        shaken(model, rng)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.keras")
            model.save(path)
            again = keras.models.load_model(path)
        layer, loaded = model.layers[-1], again.layers[-1]
        assert type(loaded) is kind and loaded.get_config() == layer.get_config()
        for part in ("trainable_weights", "non_trainable_weights"):
            weights, expected = getattr(again, part), getattr(model, part)
            assert [(w.name, w.dtype) for w in weights] == [(w.name, w.dtype) for w in expected]
            for one, other in zip(weights, expected):
                np.testing.assert_array_equal(one.numpy(), other.numpy())
        y = model(inputs)
        np.testing.assert_array_equal(again(inputs), y)
        assert losses_of(again) == losses_of(model)
        for weight, expected in zip(loaded.weights, layer.weights):
            assert type(weight.constraint) is type(expected.constraint)


@each_kind
@examples(few=40, many=80)
def test_the_shape_that_is_promised_is_the_shape_that_comes(kind, count):
    @check(count, layers(kind), st.booleans(), FEW)
    def _(drawn, guide_given, batch):
        _, arguments, _ = drawn
        shapes = [(batch, *shape[1:]) for shape in input_shapes(*drawn, guide_given)]
        layer = kind(**arguments)
        one_or_all = (lambda values: values) if len(shapes) > 1 else (lambda values: values[0])
        symbolic = layer(one_or_all([keras.KerasTensor(shape) for shape in shapes]))
        y = layer(one_or_all([np.ones(shape, "float32") for shape in shapes]))
        promised = layer.compute_output_shape(one_or_all(shapes))
        assert tuple(promised) == symbolic.shape == tuple(y.shape)
        assert symbolic.dtype == keras.backend.standardize_dtype(y.dtype)

"""Output shapes of the layers: as announced, with unknown sizes, channels first."""

import keras
import numpy as np
import pytest

from tests.support.layer_cases import LAYERS, inputs_of, layer_of, model_of
from tests.support.runners import to_channels_first
from tests.support.tolerances import assert_close


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(7, 9), (8, 6), (13, 11)])
@pytest.mark.parametrize("name", LAYERS)
def test_output_shapes_are_as_announced(implementation, name, size, data_format, rng):
    layer = layer_of(name, data_format=data_format)
    inputs = inputs_of(name, rng, size=size)
    mask = np.ones((*inputs[0].shape[:3], 1), "float32")
    if data_format == "channels_first":
        inputs, mask = [to_channels_first(tensor) for tensor in inputs], to_channels_first(mask)
    shape = layer.compute_output_shape([tensor.shape for tensor in inputs])
    assert layer.compute_output_shape(inputs[0].shape) == shape
    y, output_mask = layer(inputs, valid_mask=mask)
    assert y.shape == layer(inputs).shape == shape
    symbolic = [keras.KerasTensor(tensor.shape) for tensor in inputs]
    spec, mask_spec = layer(symbolic, valid_mask=keras.KerasTensor(mask.shape))
    assert spec.shape == layer(symbolic).shape == shape
    assert mask_spec.shape == output_mask.shape


@pytest.mark.parametrize("name", LAYERS)
def test_unknown_sizes_stay_unknown(name):
    layer = layer_of(name)
    channels = 2 if name in ("conv shared", "transposed initializer", "pool", "pool options") else 3
    assert layer.compute_output_shape((None, None, 9, 2))[:2] == (None, None)
    assert layer.compute_output_shape((None, None, None, 2)) == (None, None, None, channels)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_model_of_unknown_size_gives_what_the_layer_gives(implementation, name, rng):
    model = model_of(name)
    for size in ((7, 9), (8, 7)):
        inputs = inputs_of(name, rng, size=size)
        assert_close(model.predict(inputs, verbose=0), model.layers[-1](inputs), "float32")


@pytest.mark.parametrize("name", LAYERS)
def test_channels_first_is_channels_last_transposed(implementation, name, rng):
    last, first = (layer_of(name, data_format=d) for d in ("channels_last", "channels_first"))
    inputs = inputs_of(name, rng)
    mask = (rng.random((2, 7, 9, 1)) < 0.6).astype("float32")
    y, output_mask = last(inputs, valid_mask=mask)
    first.build([to_channels_first(tensor).shape for tensor in inputs])
    first.set_weights(last.get_weights())
    inputs = [to_channels_first(tensor) for tensor in inputs]
    y_first, output_mask_first = first(inputs, valid_mask=to_channels_first(mask))
    assert_close(y_first, to_channels_first(y), "float32")
    np.testing.assert_array_equal(output_mask_first, to_channels_first(output_mask))

"""Models of the layers: trained, saved, loaded."""

import keras
import numpy as np
import pytest

from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D
from tests.support.layer_cases import INVERSE, LAYERS, inputs_of, model_of, shaken


def self_guided():
    """A small network as a beginner would write it."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            PacConv2D(4, 3, padding="same", activation="relu", guide_filters=2),
            PacPool2D(3, strides=2, padding="same", normalize_kernel=True, **INVERSE),
            PacConv2DTranspose(1, 3, strides=2, padding="same", guide_filters=2),
        ]
    )


def test_fit_lowers_the_loss(implementation, rng):
    model = self_guided()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = rng.normal(size=(8, 8, 8, 2)).astype("float32")
    y = keras.ops.average_pool(x.sum(-1, keepdims=True), 3, 1, "same")
    before = model.get_weights()
    history = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


@pytest.mark.parametrize("name", LAYERS)
def test_a_saved_model_gives_the_same(name, rng, tmp_path):
    model = model_of(name, size=(7, 9))
    shaken(model, rng)
    inputs = inputs_of(name, rng)
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), expected)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()


def test_a_saved_sequential_gives_the_same(rng, tmp_path):
    model = self_guided()
    shaken(model, rng)
    x = rng.normal(size=(2, 8, 8, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


@pytest.mark.slow
def test_fit_under_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = self_guided()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = rng.normal(size=(8, 8, 8, 2)).astype("float32")
    y = keras.ops.average_pool(x.sum(-1, keepdims=True), 3, 1, "same")
    losses = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]

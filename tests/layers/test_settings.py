"""Settings and weights of the layers: configs, initial values, regularizers, constraints."""

import inspect

import keras
import numpy as np
import pytest

from keras_pac import PacConv2D, PacConv2DTranspose, PacCRF, PacPool2D, PairwiseKernel
from keras_pac.layers import PositionColorFeatures
from tests.support.layer_cases import INVERSE, LAYERS, inputs_of, layer_of
from tests.support.tolerances import assert_close


@pytest.mark.parametrize("name", LAYERS)
def test_config_makes_the_same_layer(name, rng):
    layer = layer_of(name)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    inputs = inputs_of(name, rng)
    y = layer(inputs)
    again.build([tensor.shape for tensor in inputs])
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs), y)
    for key, value in LAYERS[name][1].items():
        if isinstance(value, (int, float, bool)) and key not in ("kernel_size", "strides"):
            if key != "dilation_rate":
                assert layer.get_config()[key] == value


def test_initial_values_have_all_digits_of_float64():
    options = {"kernel_type": "inverse", "alpha": 0.1, "exponent": 0.3, "smoothing": ("learned", 3)}
    layer = PacConv2D(2, 3, dtype="float64", **options)
    layer.build((1, 8, 8, 2))
    crf = PacCRF(PairwiseKernel(3, "potts", spatial_filter=False, weight=0.1), dtype="float64")
    crf.build([(1, 8, 8, 2), (1, 8, 8, 3)])
    features = PositionColorFeatures(color_scale=0.1, dtype="float64")
    features.build((1, 8, 8, 3))
    assert float(layer.alpha_weight.value) == 0.1
    assert float(layer.exponent_weight.value) == 0.3
    assert np.array(layer.smoothing_weight.value)[0, 0] == 1 / 9
    assert -0.1 in [float(w.value) for w in crf.weights]
    assert [float(w.value) for w in features.weights] == [np.log(0.1)]


def test_the_config_has_every_argument():
    for kind in (PacConv2D, PacConv2DTranspose, PacPool2D):
        arguments = {"filters": 3} if kind is not PacPool2D else {}
        layer = kind(kernel_size=3, **arguments)
        signature = inspect.signature(kind.__init__).parameters
        assert set(signature) - {"self", "kwargs"} <= set(layer.get_config())


@pytest.mark.parametrize(
    "name, trainable, fixed",
    [
        ("conv", ["bias", "kernel"], []),
        ("conv options", ["alpha", "exponent", "kernel", "smoothing"], []),
        ("conv fixed", ["bias", "kernel"], ["alpha", "exponent"]),
        ("transposed options", ["alpha", "bias", "exponent", "kernel"], []),
        ("pool", [], []),
        ("pool options", ["alpha", "exponent"], []),
    ],
)
def test_weights(name, trainable, fixed, rng):
    layer = layer_of(name)
    layer.build([tensor.shape for tensor in inputs_of(name, rng)])
    assert sorted(weight.name for weight in layer.trainable_weights) == trainable
    assert sorted(weight.name for weight in layer.non_trainable_weights) == fixed


def test_initial_weights():
    layer = PacConv2D(
        3,
        3,
        smoothing=("learned", 5),
        bias_initializer="ones",
        kernel_initializer="zeros",
        **INVERSE,
    )
    layer.build((1, 7, 7, 2))
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    assert weights["alpha"] == np.float32(0.2) and weights["exponent"] == np.float32(0.4)
    np.testing.assert_allclose(weights["smoothing"], np.full((5, 5), 1 / 25), rtol=1e-6)
    np.testing.assert_array_equal(weights["bias"], np.ones(3))
    np.testing.assert_array_equal(weights["kernel"], np.zeros((3, 3, 2, 3)))
    pool = PacPool2D(3, channel_wise=True, **INVERSE)
    pool.build((1, 7, 7, 2))
    assert pool.weights[0].shape == (2,)


@pytest.mark.parametrize(
    "kind, kernel_shape",
    [(PacConv2D, (3, 3, 2, 4)), (PacConv2DTranspose, (3, 3, 4, 2))],
)
def test_kernel_has_the_shape_of_keras(kind, kernel_shape):
    layer = kind(4, 3)
    layer.build((1, 7, 7, 2))
    assert layer.kernel.shape == kernel_shape
    shared = kind(2, 3, shared_filters=True)
    shared.build((1, 7, 7, 2))
    assert shared.kernel.shape == (3, 3, 1, 1)


def loss_of_activity(y):
    layer = keras.layers.ActivityRegularization(l1=0.125)
    layer(y)
    return float(layer.losses[0])


def test_regularizers(rng):
    layer = PacConv2D(
        3,
        3,
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer=keras.regularizers.L1(0.25),
        activity_regularizer=keras.regularizers.L1(0.125),
        bias_initializer="random_normal",
    )
    x = rng.normal(size=(2, 5, 6, 2)).astype("float32")
    y = layer(x).numpy()
    expected = [
        0.5 * np.sum(layer.kernel.numpy() ** 2),
        0.25 * np.sum(np.abs(layer.bias.numpy())),
        # Keras's versions differ in whether they divide this by the batch size.
        loss_of_activity(y),
    ]
    assert len(layer.losses) == 3
    assert_close(sorted(map(float, layer.losses)), sorted(expected), "float32")


def test_constraints(rng):
    layer = PacConv2D(3, 3, kernel_constraint="non_neg", bias_constraint="non_neg")
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    x = rng.normal(size=(2, 5, 6, 2))
    model.fit(x, -100 * np.ones((2, 3, 4, 3)), epochs=2, verbose=0)
    for weight in layer.weights:
        assert weight.numpy().min() == 0


def test_activation(rng):
    x = rng.normal(size=(2, 5, 6, 2)).astype("float32")
    plain, layer = PacConv2D(3, 3), PacConv2D(3, 3, activation="tanh")
    y = plain(x)
    layer.build(x.shape)
    layer.set_weights(plain.get_weights())
    assert_close(layer(x), np.tanh(y), "float32")

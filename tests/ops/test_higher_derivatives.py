"""Second derivatives and forward mode of each implementation, against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D
from tests.support.tolerances import assert_close

STEP = 1e-5
LAYERS = {
    "conv": lambda: PacConv2D(2, 3, padding="same"),
    "strides": lambda: PacConv2D(2, (3, 5), strides=(2, 3), padding=((1, 0), (2, 1))),
    "same": lambda: PacConv2D(2, 3, strides=2, padding="same", dilation_rate=1),
    "dilation": lambda: PacConv2D(2, 3, dilation_rate=(1, 2)),
    "inverse": lambda: PacConv2D(2, 3, kernel_type="inverse", alpha=0.7, exponent=0.6),
    "smoothed": lambda: PacConv2D(2, 3, smoothing=("learned", 3), asymmetric=True),
    "normalized": lambda: PacConv2D(2, 3, normalize_kernel=True),
    "shared": lambda: PacConv2D(3, 3, shared_filters=True),
    "transposed": lambda: PacConv2DTranspose(2, 3, strides=2, padding="same"),
    "cropped": lambda: PacConv2DTranspose(2, 5, strides=(2, 3), padding=(1, 2)),
    "pool": lambda: PacPool2D(3, strides=2, padding="same"),
    "channel_wise": lambda: PacPool2D(3, channel_wise=True),
}


def make_problem(name, rng):
    """A layer in float64, and its inputs and weights as tensors."""
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        layer = LAYERS[name]()
    finally:
        keras.config.set_dtype_policy(with_policy)
    size = (5, 6)
    if isinstance(layer, PacConv2DTranspose):
        size = layer.compute_output_shape([(2, 5, 6, 3), (2, None, None, 3)])[1:3]
    inputs = [tf.constant(rng.normal(size=(2, *s, 3))) for s in ((5, 6), size)]
    layer(inputs)
    variables = layer.trainable_variables
    for variable in variables:
        variable.assign(variable + 0.1 * rng.normal(size=variable.shape))
    return layer, [*inputs, *(tf.convert_to_tensor(v) for v in variables)]


def loss(layer, values):
    """A number whose second derivatives by all values, inputs and weights, are not 0."""
    x, guide, *weights = values
    state = dict(zip(map(id, layer.trainable_variables), weights))
    variables = [state[id(variable)] for variable in layer.trainable_variables]
    y, _ = layer.stateless_call(variables, layer.non_trainable_variables, [x, guide])
    return tf.reduce_sum(tf.sin(y))


def gradients(layer, values):
    with tf.GradientTape() as tape:
        tape.watch(values)
        value = loss(layer, values)
    return tape.gradient(value, values)


def product(layer, values, directions):
    """The Hessian times the directions."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.add_n(
            [tf.reduce_sum(g * d) for g, d in zip(gradients(layer, values), directions)]
        )
    return tape.gradient(total, values)


def differences(function, values, directions):
    """The derivative of a function's results along the directions."""
    ends = [function([v + sign * STEP * d for v, d in zip(values, directions)]) for sign in (1, -1)]
    return [(after - before) / (2 * STEP) for after, before in zip(*ends)]


@pytest.mark.parametrize(
    "traced", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "traced"]
)
@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives(implementation, rng, name, traced):
    layer, values = make_problem(name, rng)
    directions = [tf.constant(rng.normal(size=v.shape)) for v in values]
    expected = differences(lambda moved: gradients(layer, moved), values, directions)
    compute = product
    if traced:  # with images of unknown sizes
        images = [tf.TensorSpec((None, None, None, 3), tf.float64)] * 2
        signature = [*images, *(tf.TensorSpec(v.shape, tf.float64) for v in values[2:])]
        function = tf.function(
            lambda *values: product(layer, values, directions), input_signature=signature
        )
        compute = lambda layer, values, directions: function(*values)  # noqa: E731
    for number, (actual, wanted) in enumerate(zip(compute(layer, values, directions), expected)):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6, err_msg=str(number))


def test_forward_mode(implementation, rng):
    layer, values = make_problem("conv", rng)
    directions = [tf.constant(rng.normal(size=v.shape)) for v in values]
    with tf.autodiff.ForwardAccumulator(values, directions) as accumulator:
        value = loss(layer, values)
    (expected,) = differences(lambda moved: [loss(layer, moved)], values, directions)
    np.testing.assert_allclose(accumulator.jvp(value), expected, rtol=1e-7)


def test_hessians(implementation, rng):
    """`tf.hessians` gives the same as the Hessian times each unit vector."""
    layer, values = make_problem("dilation", rng)
    filter = values[2]
    function = tf.function(lambda f: tf.hessians(loss(layer, [*values[:2], f, values[3]]), f)[0])
    hessian = tf.reshape(function(filter), (tf.size(filter), -1))
    zeros = [tf.zeros_like(v) for v in values]
    for number in (0, 7, 53):
        unit = tf.reshape(tf.one_hot(number, tf.size(filter), dtype=tf.float64), filter.shape)
        column = product(layer, values, [*zeros[:2], unit, zeros[3]])[2]
        assert_close(hessian[number], tf.reshape(column, -1), "float64")


def test_a_gradient_penalty_is_trained_with_fit(implementation, rng):
    class Penalized(keras.Model):
        def __init__(self):
            super().__init__()
            self.pac = PacConv2D(1, 3)

        def call(self, x):
            return self.pac(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = tf.reduce_sum(self(x))
            return tf.reduce_mean(tape.gradient(value, x) ** 2)

    model = Penalized()
    model.compile(keras.optimizers.SGD(0.5))
    images = rng.normal(size=(8, 7, 6, 2)).astype("float32")
    losses = model.fit(images, images, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]

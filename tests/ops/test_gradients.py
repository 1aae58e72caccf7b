"""Gradients of each implementation against finite differences of that same implementation.

`test_definition.py` and `test_golden.py` compare the gradients with references; here every single
element of every input and weight, and with them every tap of K and of the filter, is moved.
"""

import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose
from tests.support.cases import IMAGES, OPERATIONS, make_case
from tests.support.differentiate import ops_with_gradients, tensors_of
from tests.support.implementations import IMPLEMENTATIONS
from tests.support.oracle import gradient_of, oracle_gradients, run_oracle
from tests.support.runners import run_ops
from tests.support.tolerances import assert_close, assert_gradients_close

STEP = 1e-5
PER_BATCH = (*IMAGES, "adapting_kernel")

CASES = {
    "conv": ("conv", {}),
    "conv strides": ("conv", {"strides": (2, 2), "size": (4, 5), "kernel_size": (3, 5)}),
    "conv dilation": ("conv", {"dilation_rate": (2, 2), "padding": "valid", "size": (6, 7)}),
    "conv inverse": ("conv", {"kind": "inverse", "asymmetric": True, "smoothing": 3}),
    "conv normalized": ("conv", {"normalize": True, "kind": "inverse"}),
    "conv masked": ("conv", {"masked": True, "kind": "inverse", "strides": (2, 1)}),
    "conv masked normalized": ("conv", {"masked": True, "normalize": True}),
    "conv shared": ("conv", {"shared": True}),
    "conv given K": ("conv", {"given": True, "strides": (2, 1)}),
    "conv shared given K": ("conv", {"given": True, "shared": True}),
    "transposed": ("transposed", {"strides": (2, 2), "size": (2, 3)}),
    "transposed odd": ("transposed", {"strides": (2, 3), "size": (2, 2), "padding": (1, 0)}),
    "transposed dilation": (
        "transposed",
        {"strides": (2, 2), "size": (2, 3), "dilation_rate": (1, 2), "padding": "valid"},
    ),
    "transposed options": (
        "transposed",
        {"strides": (2, 2), "size": (2, 3), "kind": "inverse", "smoothing": 3, "normalize": True},
    ),
    "transposed masked": ("transposed", {"strides": (2, 2), "size": (2, 3), "masked": True}),
    "transposed shared": ("transposed", {"strides": (2, 2), "size": (2, 3), "shared": True}),
    "transposed alike phases": (
        "transposed",
        {"strides": (3, 4), "size": (2, 2), "kernel_size": (5, 5), "shared": True, "masked": True},
    ),
    "transposed given K": ("transposed", {"strides": (2, 2), "size": (2, 3), "given": True}),
    "pool": ("pool", {"strides": (2, 1)}),
    "pool channel-wise": ("pool", {"channel_wise": True, "kind": "inverse", "normalize": True}),
    "pool given K": ("pool", {"given": True, "dilation_rate": (2, 1)}),
}


def losses(case, tensors):
    """Sum(y * grad_y) of every image of a batch."""
    y, _, _ = run_ops(case, tensors)
    return tf.reduce_sum(y * case.grad_y, axis=(1, 2, 3))


def moved(array, step):
    """All copies of `array` with one element moved by `step`, stacked."""
    return array[None] + step * np.eye(array.size).reshape(array.size, *array.shape)


def finite_differences(case, name):
    """Central differences of the loss by every element of one array."""
    array = case.arrays[name]
    if name in PER_BATCH:
        # All moved copies in one batch.
        def evaluate(step):
            copies = {
                key: tf.repeat(tensor, array.size, axis=0) if key in PER_BATCH else tensor
                for key, tensor in tensors_of(case, "float64").items()
            }
            return losses(case, {**copies, name: tf.constant(moved(array, step)[:, 0])}).numpy()

    else:

        def evaluate(step):
            tensors = tensors_of(case, "float64")
            return np.array(
                [
                    losses(case, {**tensors, name: tf.constant(copy)}).numpy()[0]
                    for copy in moved(array, step)
                ]
            )

    return ((evaluate(STEP) - evaluate(-STEP)) / (2 * STEP)).reshape(array.shape)


@pytest.mark.parametrize("name", CASES)
def test_every_element_against_finite_differences(implementation, name, rng):
    operation, options = CASES[name]
    case = make_case(rng, operation, **{"size": (4, 5), "filters": 1, **options})
    case.gradients = case.sources
    _, _, _, gradients = ops_with_gradients(case, "float64")
    for key, gradient in gradients.items():
        expected = finite_differences(case, key)
        assert_close(gradient, expected, "finite differences", f"gradient of {key}")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("tap", range(9))
def test_one_tap_alone(implementation, transposed, tap, rng):
    # K and the filter are zero but for one tap: an error in it can't hide among the others.
    options = {"strides": (2, 2), "given": True, "bias": False}
    case = make_case(rng, "transposed" if transposed else "conv", size=(4, 3), **options)
    alone = np.zeros(9)
    alone[tap] = 1
    case.arrays["adapting_kernel"] *= alone
    mirrored = alone[::-1] if transposed else alone
    case.arrays["kernel"] *= mirrored.reshape(3, 3, 1, 1)
    case.gradients = oracle_gradients(case)
    y, _, _, gradients = ops_with_gradients(case, "float64")
    assert_close(y, run_oracle(case, case.arrays)[0], "float64", "y")
    assert_gradients_close(gradients, case.gradients, "float64")
    assert np.any(case.gradients["adapting_kernel"][..., tap])
    assert np.any(case.gradients["kernel"].reshape(9, -1)[8 - tap if transposed else tap])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_zero_upstream_gives_zero(implementation, operation, rng):
    case = make_case(rng, operation, kind="inverse", smoothing=3, normalize=True)
    case.gradients = case.arrays
    case.grad_y = np.zeros_like(case.grad_y)
    _, _, _, gradients = ops_with_gradients(case, "float64")
    for name, gradient in gradients.items():
        assert gradient.shape == case.arrays[name].shape
        assert not np.any(gradient), name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradient_through_k_alone(implementation, operation, rng):
    # K may have other users than the convolution: a loss on K itself.
    case = make_case(rng, operation, kind="inverse", smoothing=3, normalize=True)
    upstream = rng.normal(size=case.adapting_kernel.shape)
    names = ("guide", "alpha", "exponent", "smoothing")
    tensors = tensors_of(case, "float64")
    watched = {name: tensors[name] for name in names}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        _, adapting, _ = run_ops(case, tensors)
    gradients = tape.gradient(adapting, watched, output_gradients=tf.constant(upstream))
    for name in names:

        def loss(array, name=name):
            return (run_oracle(case, {**case.arrays, name: array})[1] * upstream).sum()

        expected = gradient_of(loss, case.arrays[name])
        assert_close(gradients[name], expected, "float64", f"gradient of {name}")


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: PacConv2D(3, 3, smoothing=("learned", 5)),
        lambda: PacConv2DTranspose(3, 3, strides=2, guide_filters=2),
    ],
    ids=["learned smoothing", "transposed, guides itself"],
)
@pytest.mark.parametrize("name", [name for name in IMPLEMENTATIONS if name != "patches"])
def test_an_empty_batch_has_gradients_of_zero(name, make, unknown):
    """`patches` is left out: the gradient of `tf.image.extract_patches` fails there."""
    layer = make()
    layer.build((None, 9, 9, 2))

    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    if unknown:
        gradients = tf.function(gradients, input_signature=[tf.TensorSpec((None, 9, 9, 2))])
    with keras_pac.implementation(name):
        for gradient in gradients(tf.zeros((0, 9, 9, 2))):
            assert not np.asarray(gradient).any()

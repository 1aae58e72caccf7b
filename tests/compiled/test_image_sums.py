"""Sums that add an image and end with a softmax, by the op and inside XLA: against `taps`."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled.problem import before_softmax
from tests.support.compiled_op import GIVEN, absent, needs_op, ones
from tests.support.image_sums import CASES, KINDS, problem, rounded, windowed_sum
from tests.support.tolerances import assert_close, assert_gradients_close

pytestmark = needs_op


def with_gradients(implementation, window, arrays, dtype="float64", softmax=True, in_xla=False):
    """y, and the gradients of sum(y * upstream) by all tensors."""
    tensors = {name: tf.constant(array, dtype) for name, array in arrays.items()}

    def function(upstream, tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = windowed_sum(implementation, window, tensors, softmax)
        return y, tape.gradient(y, tensors, output_gradients=upstream)

    run = tf.function(function, jit_compile=True) if in_xla else function
    return run(tensors.pop("upstream"), tensors)


def check(found, expected, dtype="float64"):
    assert_close(found[0], expected[0], dtype, "y")
    assert_gradients_close(found[1], expected[1], dtype)


@pytest.mark.parametrize("dtype, digits", [("float16", 11), ("bfloat16", 8)])
def test_the_gradient_of_the_softmax_is_rounded_once(dtype, digits, rng):
    """Not in every term: where a label is nearly certain, its terms cancel."""
    exponentials = np.exp(rng.normal(size=(1, 9, 10, 21)) * 5)
    y = tf.cast(exponentials / exponentials.sum(-1, keepdims=True), dtype)
    upstream = tf.cast(rng.normal(size=y.shape), dtype)
    found = before_softmax(y, upstream)
    assert found.dtype == dtype
    y, upstream = (tf.cast(x, tf.float64).numpy() for x in (y, upstream))
    expected = y * (upstream - (y * upstream).sum(-1, keepdims=True))
    smallest = 2.0**-24 if dtype == "float16" else 1e-7  # a subnormal number; float32's rounding
    np.testing.assert_allclose(
        tf.cast(found, tf.float64), expected, rtol=2.0**-digits, atol=smallest
    )


@pytest.mark.parametrize(("channels", "dtype"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(kind, channels, dtype, rng):
    window, arrays = problem(kind, channels, rng)
    found = with_gradients("compiled", window, arrays, dtype)
    assert found[0].dtype == dtype
    check(found, with_gradients("taps", window, rounded(arrays, dtype)), dtype)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_in_xla(kind, softmax, rng):
    if reasons := library.not_in_xla_reasons():
        pytest.skip(reasons[0])
    window, arrays = problem(kind, 3, rng)
    found = with_gradients("compiled", window, arrays, softmax=softmax, in_xla=True)
    check(found, with_gradients("taps", window, arrays, softmax=softmax))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_softmax(kind, rng):
    window, arrays = problem(kind, 3, rng)
    found = with_gradients("compiled", window, arrays, softmax=False)
    check(found, with_gradients("taps", window, arrays, softmax=False))


def test_a_softmax_without_an_image(rng):
    window, arrays = problem("shared", 3, rng)
    arrays["bias"] = arrays["bias"][0, 0, 0]
    found = with_gradients("compiled", window, arrays)
    check(found, with_gradients("taps", window, arrays))


@pytest.mark.parametrize("kind", ["full", "shared"])
@pytest.mark.parametrize(
    "options", [{}, {"jit_compile": True}, None], ids=["graph", "XLA", "eager"]
)
def test_second_derivatives(kind, options, rng):
    """Of a penalty on gradients by all tensors."""
    window, arrays = problem(kind, 3, rng)
    tensors = {name: tf.constant(array) for name, array in arrays.items()}

    def penalty(implementation, tensors):
        upstream = tensors["upstream"]
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            sources = {name: tensor for name, tensor in tensors.items() if name != "upstream"}
            with tf.GradientTape() as inner:
                inner.watch(sources)
                y = windowed_sum(implementation, window, sources)
            gradients = inner.gradient(y, sources, output_gradients=upstream)
            total = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients.values()])
        return total, outer.gradient(total, tensors)

    compute = penalty if options is None else tf.function(penalty, **options)
    check(compute("compiled", tensors), penalty("taps", tensors))


def test_sizes_that_are_not_known(rng):
    """Neither the batch nor the image, as in a model for any image."""
    _, arrays = problem("shared", 3, rng)
    signature = [
        tf.TensorSpec((None, None, None, *a.shape[3:]), "float64")
        for a in (arrays["x"], arrays["adapting_kernel"], arrays["bias"])
    ]

    @tf.function(input_signature=signature)
    def function(x, adapting_kernel, bias):
        size = tf.unstack(tf.shape(x)[1:3])
        window = convolution_window(size, (3, 5), (1, 1), "same", (2, 1))
        tensors = {"x": x, "adapting_kernel": adapting_kernel, "bias": bias}
        tensors["filter"] = arrays["filter"]
        y = windowed_sum("compiled", window, tensors)
        assert y.shape.as_list() == [None, None, None, 3]
        return y

    window, arrays = problem("shared", 3, rng, 1, (7, 4))
    y = function(arrays["x"], arrays["adapting_kernel"], arrays["bias"])
    assert_close(y, windowed_sum("taps", window, arrays), "float64")


@pytest.mark.parametrize("size", [(0, (5, 6)), (2, (0, 6))], ids=["no batch", "no rows"])
@pytest.mark.parametrize("kind", ["full", "shared"])
def test_nothing_in_the_images(kind, size, rng):
    window, arrays = problem(kind, 3, rng, *size)
    y, gradients = with_gradients("compiled", window, arrays)
    assert y.shape == arrays["upstream"].shape
    for name, gradient in gradients.items():
        assert gradient.shape == arrays[name].shape and not np.any(gradient)


IMAGE = {**GIVEN, "alpha": absent(), "exponent": absent(), "bias": ones(2, 5, 4, 6)}


@pytest.mark.parametrize(
    "shape", [(1, 5, 4, 6), (2, 4, 5, 6), (2, 5, 4, 1), (5, 4, 6), (2, 5, 4, 6, 1)]
)
def test_an_image_of_another_shape_is_refused(shape):
    sizes = {name: tf.constant(IMAGE[name], tf.int64) for name in ("output_size", "padding")}
    operation = library.load().keras_pac_windowed_sum
    assert operation(**{**IMAGE, **sizes}, softmax=True).shape == (2, 5, 4, 6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="bias must have the shape"):
        operation(**{**IMAGE, **sizes, "bias": ones(*shape)})


def test_the_gradient_op_takes_no_image():
    sizes = {name: tf.constant(IMAGE[name], tf.int64) for name in ("output_size", "padding")}
    with pytest.raises(tf.errors.InvalidArgumentError, match="not to its gradient"):
        library.load().keras_pac_windowed_sum_grad(**{**IMAGE, **sizes}, upstream=ones(2, 5, 4, 6))

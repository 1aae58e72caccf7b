"""The functional ops: against the oracle, Keras's own layers, and themselves under another roof."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac import ops
from tests.support.cases import OPERATIONS, make_case, oracle_gradients, random_case, run_oracle
from tests.support.differentiate import ops_with_gradients, tensors_of
from tests.support.runners import run_ops, to_channels_first
from tests.support.tolerances import assert_close


def constant_guide(batch, size, channels=2):
    """A guide that is the same everywhere, and not zero."""
    return np.broadcast_to(np.linspace(0.5, 1.5, channels), (batch, *size, channels))


# --- the oracle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_geometry_gives_what_the_oracle_gives(implementation, operation, seed):
    case = random_case(operation, seed)
    y, adapting, output_mask, gradients = ops_with_gradients(case, "float64")
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)
    for name, expected in case.gradients.items():
        assert_close(gradients[name], expected, "float64", f"gradient of {name}")


IMAGES = ("x", "guide", "valid_mask")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_channels_first_is_channels_last_transposed(implementation, operation, seed):
    case = random_case(operation, seed)
    tensors = {
        name: tf.constant(to_channels_first(array) if name in IMAGES else array, "float64")
        for name, array in case.arrays.items()
    }
    with tf.GradientTape() as tape:
        watched = {name: tensors[name] for name in case.gradients}
        tape.watch(watched)
        y, _, output_mask = run_ops(case, tensors, "channels_first")
    gradients = tape.gradient(y, watched, output_gradients=to_channels_first(case.grad_y))
    assert_close(y, to_channels_first(case.y), "float64", "y")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, to_channels_first(case.output_mask))
    for name, expected in case.gradients.items():
        expected = to_channels_first(expected) if name in IMAGES else expected
        assert_close(gradients[name], expected, "float64", f"gradient of {name}")


def test_a_centre_outside_the_guide_has_no_features(implementation, rng):
    case = make_case(rng, "conv", size=(3, 4), padding=((3, 2), (2, 3)), kernel_size=(3, 3))
    y, adapting, _ = run_ops(case, tensors_of(case, "float64"))
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_empty_mask_gives_zeros(implementation, operation, rng):
    for normalize in (False, True):
        case = make_case(rng, operation, normalize=normalize, bias=False)
        case.arrays["valid_mask"] = np.zeros((1, 5, 4, 1))
        case.gradients = case.arrays
        y, adapting, output_mask, gradients = ops_with_gradients(case, "float64")
        assert not np.any(y) and not np.any(adapting) and not np.any(output_mask)
        for name in ("x", "guide"):
            assert not np.any(gradients[name]), name


# --- Keras's own layers ---------------------------------------------------------------------------


CONVOLUTIONS = [
    # size, kernel_size, strides, dilation_rate, padding
    ((7, 5), 3, 1, 1, "valid"),
    ((7, 5), 3, 1, 1, "same"),
    ((1, 1), 1, 1, 1, "valid"),
    ((1, 1), 3, 1, 1, "same"),
    ((1, 9), (1, 5), 1, 1, "valid"),
    ((13, 11), 5, 1, 1, "same"),
    ((13, 11), (3, 5), 2, 1, "same"),
    ((12, 10), 3, 2, 1, "same"),
    ((13, 11), 3, (2, 3), 1, "valid"),
    ((5, 7), 1, 3, 1, "same"),
    ((4, 6), 3, 5, 1, "same"),
    ((13, 11), 3, 1, 2, "same"),
    ((17, 13), 5, 1, (2, 3), "valid"),
    ((5, 3), 7, 1, 2, "same"),
]


@pytest.mark.parametrize("size, kernel_size, strides, dilation_rate, padding", CONVOLUTIONS)
def test_a_constant_guide_gives_conv2d(
    implementation, rng, size, kernel_size, strides, dilation_rate, padding
):
    layer = keras.layers.Conv2D(
        3,
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        bias_initializer="random_normal",
        dtype="float64",
    )
    x = tf.constant(rng.normal(size=(2, *size, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = layer(x)
    weights = [variable.value for variable in layer.trainable_variables]
    grad_y = rng.normal(size=expected.shape)
    expected_gradients = tape.gradient(expected, [x, *weights], output_gradients=grad_y)
    geometry = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        adapting = ops.adapting_kernel(constant_guide(2, size), kernel_size, **geometry)
        y = ops.pac_conv2d(x, adapting, *weights, **geometry)
    assert_close(y, expected, "float64", "y")
    gradients = tape.gradient(y, [x, *weights], output_gradients=grad_y)
    for name, actual, wanted in zip(
        ("x", "kernel", "bias"), gradients, expected_gradients, strict=True
    ):
        assert_close(actual, wanted, "float64", f"gradient of {name}")


def test_a_constant_guide_with_strides_and_dilation_skips_pixels_of_conv2d(implementation, rng):
    # Keras's layer refuses the two together: every second pixel of the one with strides 1.
    x = rng.normal(size=(2, 13, 11, 2))
    layer = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="valid", dtype="float64")
    expected = layer(x)[:, ::2, ::3]
    geometry = {"strides": (2, 3), "padding": "valid", "dilation_rate": 2}
    adapting = ops.adapting_kernel(constant_guide(2, (13, 11)), 3, **geometry)
    y = ops.pac_conv2d(x, adapting, layer.kernel, **geometry)
    assert_close(y, expected, "float64")


@pytest.mark.parametrize("padding", [1, (1, 0), ((0, 1), (1, 1))])
def test_explicit_padding_is_zero_padding(implementation, rng, padding):
    x = rng.normal(size=(2, 7, 5, 2))
    layer = keras.layers.Conv2D(3, 3, strides=2, padding="valid", dtype="float64")
    expected = layer(keras.layers.ZeroPadding2D(padding, dtype="float64")(x))
    geometry = {"strides": 2, "padding": padding}
    adapting = ops.adapting_kernel(constant_guide(2, (7, 5)), 3, **geometry)
    y = ops.pac_conv2d(x, adapting, layer.kernel, layer.bias, **geometry)
    assert_close(y, expected, "float64")


TRANSPOSED = [
    # size, kernel_size, strides, padding, output_padding
    ((5, 6), 3, 2, "same", None),
    ((5, 6), 5, 2, "same", None),
    ((5, 6), 5, 2, "valid", None),
    ((5, 6), 3, 1, "same", None),
    ((7, 3), 3, (2, 3), "valid", None),
    ((4, 5), 1, 3, "same", None),
    ((4, 5), 1, 3, "valid", None),
    ((2, 3), 3, 5, "valid", None),
    ((2, 3), 3, 5, "same", None),
    ((1, 1), 3, 2, "same", None),
    ((1, 1), 5, 4, "valid", None),
    ((3, 4), 7, 4, "same", None),
    ((3, 4), (3, 5), 2, "same", (0, 1)),
    ((3, 4), 5, 3, "same", 1),
    ((3, 4), 5, 3, "valid", 2),
]


@pytest.mark.parametrize("size, kernel_size, strides, padding, output_padding", TRANSPOSED)
def test_a_constant_guide_gives_conv2d_transpose(
    implementation, rng, size, kernel_size, strides, padding, output_padding
):
    layer = keras.layers.Conv2DTranspose(
        3,
        kernel_size,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        bias_initializer="random_normal",
        dtype="float64",
    )
    x = tf.constant(rng.normal(size=(2, *size, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = layer(x)
    weights = [variable.value for variable in layer.trainable_variables]
    grad_y = rng.normal(size=expected.shape)
    expected_gradients = tape.gradient(expected, [x, *weights], output_gradients=grad_y)
    geometry = {"strides": strides, "padding": padding, "output_padding": output_padding}
    guide = constant_guide(2, expected.shape[1:3])
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        adapting = ops.adapting_kernel(guide, kernel_size, transposed=True, **geometry)
        y = ops.pac_conv2d_transpose(x, adapting, *weights, **geometry)
    assert_close(y, expected, "float64", "y")
    gradients = tape.gradient(y, [x, *weights], output_gradients=grad_y)
    for name, actual, wanted in zip(
        ("x", "kernel", "bias"), gradients, expected_gradients, strict=True
    ):
        assert_close(actual, wanted, "float64", f"gradient of {name}")


def test_a_constant_guide_with_dilation_gives_conv2d_of_stuffed_zeros(implementation, rng):
    # TensorFlow has no dilated transposed convolution on a CPU: the zeros are put in by hand.
    x = rng.normal(size=(2, 4, 5, 2))
    stuffed = np.zeros((2, 7 + 8, 9 + 8, 2))
    stuffed[:, 4:-4:2, 4:-4:2] = x
    layer = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="valid", dtype="float64")
    expected = layer(stuffed)
    kernel = tf.transpose(layer.kernel[::-1, ::-1], (0, 1, 3, 2))
    geometry = {"strides": 2, "padding": "valid", "dilation_rate": 2}
    guide = constant_guide(2, expected.shape[1:3])
    adapting = ops.adapting_kernel(guide, 3, transposed=True, **geometry)
    y = ops.pac_conv2d_transpose(x, adapting, kernel, **geometry)
    assert_close(y, expected, "float64")


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (12, 10), (13, 11)])
@pytest.mark.parametrize("kernel_size, strides", [(3, 1), ((5, 3), 2), (3, (2, 3)), (1, 2)])
def test_a_constant_guide_pools_averages(implementation, rng, size, kernel_size, strides):
    x = rng.normal(size=(2, *size, 3))
    geometry = {"strides": strides, "padding": "same"}
    expected = keras.layers.AveragePooling2D(kernel_size, dtype="float64", **geometry)(x)
    adapting = ops.adapting_kernel(constant_guide(2, size), kernel_size, normalize=True, **geometry)
    assert_close(ops.pac_pool2d(x, adapting, kernel_size, **geometry), expected, "float64")


# --- dtypes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_dtype_stays_near_the_oracle(implementation, operation, dtype, rng):
    case = make_case(rng, operation, (5, 3), (6, 5), strides=(2, 1), kind="inverse", normalize=True)
    # What the operation sees are the rounded numbers.
    case.arrays = {
        name: np.asarray(tf.cast(tf.constant(array, dtype), "float64"))
        for name, array in case.arrays.items()
    }
    case.grad_y = np.asarray(tf.cast(tf.constant(case.grad_y, dtype), "float64"))
    expected, expected_adapting, _ = run_oracle(case, case.arrays)
    case.gradients = oracle_gradients(case)
    y, adapting, _, gradients = ops_with_gradients(case, dtype)
    assert y.dtype == adapting.dtype == dtype
    assert_close(tf.cast(adapting, "float64"), expected_adapting, dtype, "adapting kernel")
    assert_close(tf.cast(y, "float64"), expected, dtype, "y")
    for name, wanted in case.gradients.items():
        assert gradients[name].dtype == dtype
        assert_close(tf.cast(gradients[name], "float64"), wanted, dtype, f"gradient of {name}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["gaussian", "inverse"])
@pytest.mark.parametrize("normalize", [False, True])
def test_distances_too_large_for_float16_are_no_trouble(implementation, dtype, kind, normalize):
    # Differences of 300 and more: their squares are beyond float16's 65504.
    guide = tf.constant(np.arange(25).reshape(1, 5, 5, 1) * 300, dtype)
    numbers = {"alpha": 0.1, "exponent": 0.5} if kind == "inverse" else {}
    options = {"kind": kind, "padding": "same", "normalize": normalize, **numbers}
    with tf.GradientTape() as tape:
        tape.watch(guide)
        adapting = ops.adapting_kernel(guide, 3, **options)
        loss = tf.reduce_sum(adapting)
    wide = tf.cast(guide, "float64")
    expected = ops.adapting_kernel(wide, 3, **options)
    assert_close(tf.cast(adapting, "float64"), expected, dtype)
    assert np.all(np.isfinite(tf.cast(tape.gradient(loss, guide), "float64")))


def test_small_distances_are_not_lost_in_float16(implementation):
    # Squared, 2e-4 is far below the smallest float16 number; a hundred channels of it are not.
    guide = np.zeros((1, 3, 3, 100))
    guide[0, 1, 1] = 2e-4
    options = {"kind": "inverse", "alpha": 0.0, "exponent": 1.0}
    adapting = ops.adapting_kernel(tf.constant(guide, "float16"), 3, **options)
    rounded = np.asarray(tf.cast(tf.constant(guide, "float16"), "float64"))
    expected = ops.adapting_kernel(rounded, 3, **options)
    assert_close(adapting, expected, "float16")


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_empty_batch_gives_an_empty_batch(implementation, operation, rng):
    case = make_case(rng, operation, strides=(2, 1), smoothing=3, masked=True)
    expected = case.y.shape[1:]
    case.arrays = {
        name: array[:0] if name in IMAGES else array for name, array in case.arrays.items()
    }
    case.grad_y = case.grad_y[:0]
    case.gradients = case.arrays
    if implementation == "patches":
        # TensorFlow's own gradient of extract_patches has no empty batch.
        with pytest.raises(tf.errors.InvalidArgumentError, match="UnsortedSegmentSum"):
            ops_with_gradients(case, "float32")
        case.gradients = {}
        assert ops_with_gradients(case, "float32")[0].shape == (0, *expected)
        return
    y, _, _, gradients = ops_with_gradients(case, "float32")
    assert y.shape == (0, *expected)
    for name in ("x", "guide"):
        assert gradients[name].shape == case.arrays[name].shape
    if operation != "pool":
        assert not np.any(gradients["kernel"])


OPTIONS = {"kind": "inverse", "normalize": True, "smoothing": 3, "kernel_size": (3, 5)}
TRACED = [
    ("conv", {"padding": "same", "strides": (2, 3)}),
    ("transposed", {"padding": "same", "strides": (2, 2)}),
    ("pool", {"padding": "valid", "strides": (2, 1), "normalize": True}),
]
# Large graphs: tracing and compiling them takes a minute a case.
TRACED += [
    pytest.param(operation, {**OPTIONS, **geometry}, marks=pytest.mark.slow)
    for operation, geometry in [
        ("conv", {"padding": "same"}),
        ("conv", {"padding": "same", "strides": (2, 3), "masked": True}),
        ("conv", {"padding": "valid", "strides": (2, 1), "dilation_rate": (2, 1)}),
        ("conv", {"padding": ((0, 1), (2, 1)), "strides": (2, 2)}),
        ("transposed", {"padding": "same", "strides": (2, 3)}),
        ("transposed", {"padding": "valid", "strides": (2, 2), "masked": True}),
        ("transposed", {"padding": (1, 0), "strides": (2, 2), "output_padding": (1, 0)}),
        ("transposed", {"padding": "valid", "strides": (2, 2), "dilation_rate": (2, 1)}),
        ("pool", {"padding": "same", "strides": (2, 3), "channel_wise": True}),
        ("pool", {"padding": "valid", "strides": (2, 2)}),
    ]
]


def unknown_sizes(tensor, name):
    """A tensor specification that fixes the channels of an image, and all of a weight."""
    shape = (None, None, None, tensor.shape[-1]) if name in IMAGES else tensor.shape
    return tf.TensorSpec(shape, tensor.dtype)


def without_mask(case):
    """The arrays of a case that its result can be differentiated by."""
    return {name: array for name, array in case.arrays.items() if name != "valid_mask"}


def traced(case, tensors, **options):
    """A tf.function of (tensors, grad_y) that gives y, K and the gradients."""

    @tf.function(**options)
    def function(tensors, grad_y):
        with tf.GradientTape() as tape:
            watched = {name: tensors[name] for name in without_mask(case)}
            tape.watch(watched)
            y, adapting, _ = run_ops(case, tensors)
        return y, adapting, tape.gradient(y, watched, output_gradients=grad_y)

    return function


@pytest.mark.parametrize("operation, options", TRACED)
def test_unknown_sizes_give_what_known_sizes_give(implementation, operation, options, rng):
    case = make_case(rng, operation, size=(6, 7), batch=2, **options)
    tensors = tensors_of(case, "float64")
    signature = {name: unknown_sizes(tensor, name) for name, tensor in tensors.items()}
    grad_y = unknown_sizes(tf.constant(case.grad_y), "x")
    function = traced(case, tensors, input_signature=[signature, grad_y])
    for size in ((6, 7), (7, 9)):
        other = make_case(rng, operation, size=size, batch=2, **options)
        other.gradients = without_mask(other)
        tensors = tensors_of(other, "float64")
        y, adapting, gradients = function(tensors, tf.constant(other.grad_y))
        _, _, _, eager = ops_with_gradients(other, "float64")
        assert_close(y, other.y, "float64", "y")
        assert_close(adapting, other.adapting_kernel, "float64", "adapting kernel")
        for name, wanted in eager.items():
            assert_close(gradients[name], wanted, "float64", f"gradient of {name}")
    assert function.experimental_get_tracing_count() == 1


# --- XLA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation, options", TRACED)
def test_taps_under_xla_gives_what_eager_gives(operation, options, rng):
    case = make_case(rng, operation, size=(6, 7), batch=2, **options)
    case.gradients = without_mask(case)
    tensors = tensors_of(case, "float64")
    with keras_pac.implementation("taps"):
        function = traced(case, tensors, jit_compile=True)
        y, adapting, gradients = function(tensors, tf.constant(case.grad_y))
        _, _, _, eager = ops_with_gradients(case, "float64")
    assert_close(y, case.y, "float64", "y")
    assert_close(adapting, case.adapting_kernel, "float64", "adapting kernel")
    for name, wanted in eager.items():
        assert_close(gradients[name], wanted, "float64", f"gradient of {name}")


# --- NaN and repetition ---------------------------------------------------------------------------


def within(size, centre, reach):
    """True at pixels no farther from `centre` than `reach` in rows and in columns."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (abs(rows - centre[0]) <= reach[0]) & (abs(columns - centre[1]) <= reach[1])


@pytest.mark.parametrize("centre", [(4, 5), (0, 0), (8, 9)])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nan_in_the_guide_stays_local(implementation, operation, normalize, centre, rng):
    if operation == "transposed":
        size, geometry, reach = (5, 5), {"strides": (2, 2)}, (1, 2)
    else:
        size, geometry, reach = (9, 10), {"dilation_rate": (2, 1)}, (2, 2)
    case = make_case(rng, operation, (3, 5), size, normalize=normalize, **geometry)
    out = case.y.shape[1:3]
    centre = tuple(min(c, n - 1) for c, n in zip(centre, out, strict=True))
    case.gradients = case.arrays
    clean_y, _, _, clean = ops_with_gradients(case, "float64")
    case.arrays["guide"][(0, *centre, 0)] = np.nan
    y, _, _, gradients = ops_with_gradients(case, "float64")
    assert np.isnan(y.numpy()[(0, *centre)]).all()
    far = ~within(out, centre, reach)
    assert_close(y.numpy()[0, far], clean_y.numpy()[0, far], "float64", "y")
    # A window that is normalised has a NaN for each of its taps: one reach more.
    far = ~within(out, centre, [r * (2 if normalize else 1) for r in reach])
    assert far.any()
    actual, wanted = gradients["guide"].numpy()[0], clean["guide"].numpy()[0]
    assert_close(actual[far], wanted[far], "float64", "gradient of the guide")
    if operation == "transposed":
        # Input pixel i lies at output pixel 2 i + 1.
        far = far[1::2, 1::2]
    actual, wanted = gradients["x"].numpy()[0], clean["x"].numpy()[0]
    assert_close(actual[far], wanted[far], "float64", "gradient of x")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_runs_are_bitwise_equal(implementation, operation, rng):
    case = make_case(rng, operation, size=(17, 19), batch=3, channels=8, strides=(2, 1))
    case.gradients = case.arrays
    first, second = (ops_with_gradients(case, "float32") for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    for name, gradient in first[3].items():
        np.testing.assert_array_equal(gradient, second[3][name], name)

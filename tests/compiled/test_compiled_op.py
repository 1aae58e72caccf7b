"""The compiled op itself: bad input straight into it, loading, unknown sizes."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac.ops._implementations import library
from tests.support.compiled_op import GIVEN, INVERSE, KERNEL, SUM, absent, needs_op, ones
from tests.support.processes import output_of
from tests.support.tolerances import assert_close

HUGE = 2**62

WRONG_SUMS = {
    "x of rank 3": {**SUM, "x": ones(2, 5, 4)},
    "no x": {**SUM, "x": absent()},
    "no channels": {**SUM, "x": ones(2, 5, 4, 0), "filter": ones(3, 3, 0, 6)},
    "no filters": {**SUM, "filter": ones(3, 3, 3, 0), "bias": absent()},
    "filter of rank 3": {**SUM, "filter": ones(3, 3, 3)},
    "filter of another size": {**SUM, "filter": ones(5, 3, 3, 6)},
    "filter for other channels": {**SUM, "filter": ones(3, 3, 2, 6)},
    "bias of rank 0": {**SUM, "bias": np.float32(1)},
    "bias of another size": {**SUM, "bias": ones(5)},
    "guide of another size": {**SUM, "guide": ones(2, 5, 5, 2)},
    "guide of another batch": {**SUM, "guide": ones(1, 5, 4, 2)},
    "guide of rank 3": {**SUM, "guide": ones(2, 5, 4)},
    "guide without channels": {**SUM, "guide": ones(2, 5, 4, 0)},
    "guide and K": {**GIVEN, "guide": SUM["guide"]},
    "neither guide nor K": {**SUM, "guide": absent()},
    "center of another size": {**SUM, "center": ones(2, 5, 4, 1)},
    "K of rank 4": {**GIVEN, "adapting_kernel": ones(2, 5, 4, 9)},
    "K of other taps": {**GIVEN, "adapting_kernel": ones(2, 5, 4, 8, 1)},
    "K of another size": {**GIVEN, "adapting_kernel": ones(2, 4, 5, 9, 1)},
    "K and a center": {**GIVEN, "center": ones(2, 5, 4, 2)},
    "K and alpha": {**GIVEN, "alpha": ones(1)},
    "channel-wise full filter": {
        **GIVEN,
        "adapting_kernel": ones(2, 5, 4, 9, 3),
        "channel_wise": True,
    },
    "channel-wise guide": {**SUM, "filter": absent(), "bias": absent(), "channel_wise": True},
    "inverse without alpha": {**INVERSE, "alpha": absent()},
    "inverse without exponent": {**INVERSE, "exponent": absent()},
    "alpha a channel": {**INVERSE, "alpha": ones(2)},
    "alpha of rank 0": {**INVERSE, "alpha": np.float32(1)},
    "gaussian with alpha": {**SUM, "alpha": ones(1)},
    "alpha of double": {
        **INVERSE,
        "alpha": np.ones(1),
        "exponent": np.ones(1),
    },
    "even window": {**SUM, "kernel_size": [2, 3], "filter": ones(2, 3, 3, 6)},
    "no window": {**SUM, "kernel_size": [0, 3], "filter": ones(0, 3, 3, 6)},
    "window of rank 1": {**SUM, "kernel_size": [3]},
    "negative stride": {**SUM, "strides": [1, -1]},
    "no stride": {**SUM, "strides": [0, 1]},
    "three strides": {**SUM, "strides": [1, 1, 1]},
    "huge stride": {**SUM, "strides": [HUGE, 1]},
    "no dilation": {**SUM, "dilation_rate": [1, 0]},
    "huge dilation": {**SUM, "dilation_rate": [HUGE, 1]},
    "huge pooling window": {
        **SUM,
        "filter": absent(),
        "bias": absent(),
        "kernel_size": [2**31 - 1, 2**31 - 1],
    },
    "negative output": {**SUM, "output_size": [-5, 4]},
    "huge output": {**SUM, "output_size": [HUGE, HUGE]},
    "output of one size": {**SUM, "output_size": [5]},
    "output of rank 2": {**SUM, "output_size": [[5, 4]]},
    "huge padding": {**SUM, "padding": [HUGE, 1]},
    "negative huge padding": {**SUM, "padding": [1, -HUGE]},
    "padding of three sizes": {**SUM, "padding": [1, 1, 1]},
    "transposed with a guide of the input's size": {
        **SUM,
        "transposed": True,
        "strides": [2, 2],
        "output_size": [10, 8],
    },
}
WRONG_KERNELS = {
    "guide of rank 3": {**KERNEL, "guide": ones(2, 5, 4)},
    "guide of rank 0": {**KERNEL, "guide": np.float32(1)},
    "no guide": {**KERNEL, "guide": absent()},
    "guide without channels": {**KERNEL, "guide": ones(2, 5, 4, 0)},
    "guide of another size": {**KERNEL, "input_size": [4, 5]},
    "center of another batch": {**KERNEL, "center": ones(1, 5, 4, 2)},
    "mask of rank 3": {**KERNEL, "valid_mask": ones(2, 5, 4)},
    "mask of another size": {**KERNEL, "valid_mask": ones(2, 4, 4, 1)},
    "channel-wise with one alpha": {
        **KERNEL,
        "kernel_type": "inverse",
        "channel_wise": True,
        "alpha": ones(1),
        "exponent": ones(2),
    },
    "negative input": {**KERNEL, "input_size": [-5, 4]},
    "huge input": {**KERNEL, "transposed": True, "input_size": [HUGE, HUGE], "normalize": True},
    "huge output": {**KERNEL, "output_size": [2**31, 2**31]},
    "even window": {**KERNEL, "kernel_size": [3, 4]},
}


def call(name, arguments, gradient):
    arguments = {"alpha": absent(), "exponent": absent(), **arguments}
    for size in ("input_size", "output_size", "padding"):
        if size in arguments:
            arguments[size] = tf.constant(arguments[size], tf.int64)
    operation = getattr(library.load(), f"keras_pac_{name}{'_grad' if gradient else ''}")
    if gradient:
        arguments["upstream"] = ones(2, 5, 4, *((6,) if name == "windowed_sum" else (9, 1)))
    return operation(**arguments)


@needs_op
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("wrong", WRONG_SUMS)
def test_windowed_sum_refuses(wrong, gradient):
    with pytest.raises(tf.errors.InvalidArgumentError):
        call("windowed_sum", WRONG_SUMS[wrong], gradient)


@needs_op
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("wrong", WRONG_KERNELS)
def test_adapting_kernel_refuses(wrong, gradient):
    with pytest.raises(tf.errors.InvalidArgumentError):
        call("adapting_kernel", WRONG_KERNELS[wrong], gradient)


@needs_op
@pytest.mark.parametrize("arguments", [SUM, GIVEN, INVERSE], ids=["guide", "K", "inverse"])
def test_the_upstream_gradient_must_fit(arguments):
    operation = library.load().keras_pac_windowed_sum_grad
    sizes = {name: tf.constant(arguments[name], tf.int64) for name in ("output_size", "padding")}
    for shape in ((2, 5, 4, 5), (2, 5, 4), (0,), (2, 4, 5, 6)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="upstream"):
            operation(**{**arguments, **sizes}, upstream=ones(*shape))
    assert operation(**{**arguments, **sizes}, upstream=ones(2, 5, 4, 6))[0].shape == (2, 5, 4, 3)


@needs_op
def test_the_unchanged_arguments_are_right():
    for arguments in (SUM, GIVEN, INVERSE):
        assert call("windowed_sum", arguments, False).shape == (2, 5, 4, 6)
    assert call("adapting_kernel", KERNEL, False)[0].shape == (2, 5, 4, 9, 1)
    assert len(call("adapting_kernel", KERNEL, True)) == 4


@needs_op
def test_the_gradients_of_weights_are_zero_for_an_empty_batch():
    arguments = {**SUM, "x": ones(0, 5, 4, 3), "guide": ones(0, 5, 4, 2)}
    arguments = {**arguments, **INVERSE, "x": arguments["x"], "guide": arguments["guide"]}
    for size in ("output_size", "padding"):
        arguments[size] = tf.constant(arguments[size], tf.int64)
    operation = library.load().keras_pac_windowed_sum_grad
    gradients = operation(**arguments, upstream=ones(0, 5, 4, 6))
    for weight in ("alpha_gradient", "exponent_gradient", "filter_gradient", "bias_gradient"):
        assert not np.any(getattr(gradients, weight)), weight


@needs_op
@pytest.mark.parametrize("wanted", [("x",), ("guide",), ("filter",), ("x", "filter")])
def test_gradients_that_a_graph_does_not_read_are_not_computed(rng, wanted):
    """Only the others are outputs of the op when it runs, and they are the same to the bit."""
    shapes = {"x": (2, 5, 4, 3), "guide": (2, 5, 4, 2), "filter": (3, 3, 3, 6)}
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}

    def run(names):
        record = tf.compat.v1.RunMetadata()
        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder("float32", shapes["x"])  # else the result is a constant
            gradients = call("windowed_sum", {**SUM, **arrays, "x": x}, True)
            fetched = [getattr(gradients, f"{name}_gradient") for name in names]
            values = session.run(fetched, {x: arrays["x"]}, options, record)
        nodes = [node for device in record.step_stats.dev_stats for node in device.node_stats]
        (node,) = (node for node in nodes if node.node_name.endswith("WindowedSumGrad"))
        return values, len(node.output)

    every, _ = run(shapes)
    found, outputs = run(wanted)
    assert outputs == len(wanted)
    for name, gradient in zip(wanted, found):
        np.testing.assert_array_equal(gradient, dict(zip(shapes, every))[name])
        assert np.any(gradient)


@needs_op
def test_shapes_in_a_graph_of_unknown_sizes():
    with keras_pac.implementation("compiled"):
        layer = keras_pac.PacConv2D(4, 3, strides=2, padding="same")

        @tf.function(input_signature=[tf.TensorSpec((None, None, 6, 3))] * 2)
        def function(x, guide):
            y = layer([x, guide])
            assert y.shape.as_list() == [None, None, 3, 4]
            kernel, mask = keras_pac.ops.adapting_kernel(
                guide, 3, valid_mask=tf.ones_like(guide[..., :1]), padding="same"
            )
            assert kernel.shape.as_list() == [None, None, 6, 9]
            assert mask.shape.as_list() == [None, None, 6, 1]
            return y

        for height in (1, 2, 7):
            x = tf.random.normal((2, height, 6, 3))
            y = function(x, x)
            with keras_pac.implementation("taps"):
                assert_close(y, layer([x, x]), "float32")
    operations = {op.type for op in function.get_concrete_function().graph.get_operations()}
    assert "KerasPac>WindowedSum" in operations


@needs_op
def test_a_graph_is_checked_while_it_is_made():
    function = tf.function(lambda x: call("windowed_sum", {**SUM, "x": x}, False))
    with pytest.raises(ValueError, match="rank 4"):
        function.get_concrete_function(tf.TensorSpec((2, 5, 4)))


@needs_op
def test_auto_chooses_the_compiled_op():
    with keras_pac.implementation("auto"):
        assert keras_pac.get_implementation() == "compiled"


@needs_op
def test_info_shows_the_build():
    lines = output_of(
        "import keras_pac.info, sys; print(*keras_pac.info.info(), sep='\\n')"
    ).splitlines()
    for word in ("compiler: ", "flags: ", "cuda: ", "runs with: "):
        assert any(line.strip().startswith(word) for line in lines), word

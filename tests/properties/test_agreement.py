"""All implementations agree: with the oracle, with each other, in any layout and any graph."""

from unittest import mock

import tensorflow as tf
from hypothesis import strategies as st

import keras_pac
from keras_pac.ops._geometry import blocks
from tests.properties.runs import (
    assert_is_oracle,
    check,
    each_but_patches,
    each_implementation,
    each_operation,
    examples,
    gradients_of,
    run,
)
from tests.properties.strategies import calls, case_of
from tests.support.cases import IMAGES
from tests.support.differentiate import tensors_of
from tests.support.runners import run_ops, to_channels_first
from tests.support.tolerances import assert_gradients_close


@each_implementation
@each_operation
@examples(few=50, many=150)
def test_values_are_those_of_the_oracle(name, operation, count):
    @check(count, calls(operation), st.sampled_from(["float64", "float32"]))
    def _(call, dtype):
        case = case_of(call)
        assert_is_oracle(case, run(name, case, dtype), dtype)


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_any_given_k_gives_what_the_oracle_gives(name, operation, count):
    @check(count, calls(operation, given=True, masked=False, smoothing=None, channel_wise=False))
    def _(call):
        case = case_of(call)
        assert_is_oracle(case, run(name, case), "float64")


def ops_gradients(name, case):
    tensors = tensors_of(case, "float64")
    sources = {source: tensors[source] for source in case.sources}
    with keras_pac.implementation(name):
        return gradients_of(lambda: run_ops(case, tensors)[:2], sources)


@each_but_patches
@each_operation
@examples(few=15, many=45)
def test_gradients_are_those_of_patches(name, operation, count):
    @check(count, calls(operation))
    def _(call):
        case = case_of(call)
        assert_gradients_close(ops_gradients(name, case), ops_gradients("patches", case), "float64")


@each_operation
@examples(few=20, many=30)
def test_blocks_of_one_row_give_what_whole_images_give(operation, count):
    @check(count, calls(operation))
    def _(call):
        case = case_of(call)
        expected = ops_gradients("taps", case)
        with mock.patch.multiple(blocks, MIN_BLOCK_BYTES=1, MAX_BLOCK_BYTES=1):
            assert_is_oracle(case, run("taps", case), "float64")
            assert_gradients_close(ops_gradients("taps", case), expected, "float64")


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_channels_first_is_channels_last_transposed(name, operation, count):
    @check(count, calls(operation))
    def _(call):
        case = case_of(call)
        tensors = {
            key: tf.constant(to_channels_first(array) if key in IMAGES else array)
            for key, array in case.arrays.items()
        }
        with keras_pac.implementation(name):
            y, adapting, output_mask = run_ops(case, tensors, "channels_first")
        # K has its taps second, and its channels third if it has one for each.
        back = (0, 2, 3, 1) if len(adapting.shape) == 4 else (0, 3, 4, 1, 2)
        adapting = tf.transpose(adapting, back)
        y, output_mask = (
            None if image is None else tf.transpose(image, (0, 2, 3, 1))
            for image in (y, output_mask)
        )
        assert_is_oracle(case, (y, adapting, output_mask), "float64")


@each_implementation
@each_operation
@examples(few=4, many=10)
def test_a_graph_of_unknown_sizes_gives_what_the_oracle_gives(name, operation, count):
    @check(count, calls(operation), st.integers(0, 3), st.integers(0, 3))
    def _(call, rows, columns):
        case = case_of(call)
        signature = {}
        for key, array in case.arrays.items():
            shape = (None, None, None, array.shape[-1]) if key in IMAGES else array.shape
            signature[key] = tf.TensorSpec(shape, "float64")

        @tf.function(input_signature=[signature])
        def graph(tensors):
            y, adapting, output_mask = run_ops(case, tensors)
            return (y, adapting) if output_mask is None else (y, adapting, output_mask)

        height, width = call["size"]
        larger = case_of({**call, "size": (height + rows, width + columns)})
        with keras_pac.implementation(name):
            for each in (case, larger):
                y, adapting, *output_mask = graph(tensors_of(each, "float64"))
                output_mask = output_mask[0] if output_mask else None
                assert_is_oracle(each, (y, adapting, output_mask), "float64")

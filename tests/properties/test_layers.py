"""Layers on drawn options: what the functions give, what all implementations give, CRFs."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacCRF, PacPool2D
from tests.properties.layer_strategies import FIELDS, random_fields
from tests.properties.runs import (
    assert_is_oracle,
    check,
    each_but_patches,
    each_implementation,
    each_operation,
    examples,
    gradients_of,
)
from tests.properties.strategies import SEEDS, calls, case_of
from tests.support.cases import BINOMIAL
from tests.support.layer_cases import shaken
from tests.support.oracle import run_oracle
from tests.support.runners import WEIGHTS
from tests.support.tolerances import ROUNDED_ZERO, assert_close

SMOOTHINGS = st.sampled_from([None, "gaussian", ("average", 3), ("average", 5), ("learned", 3)])
each_field = pytest.mark.parametrize("kind", FIELDS)


def call_with_smoothing(operation):
    """A call of an operation and the smoothing of its layer."""
    return st.tuples(calls(operation, smoothing=None), SMOOTHINGS)


def layer_case(call, smoothing):
    """A case whose smoothing filter is that of a layer."""
    case = case_of(call)
    if smoothing == "gaussian":
        case.arrays["smoothing"] = BINOMIAL
    elif smoothing is not None:
        kind, n = smoothing
        mean = np.full((n, n), 1 / n**2)
        # A learned filter may be anything.
        case.arrays["smoothing"] = mean if kind == "average" else mean * np.arange(1, 1 + n)
    case.y, case.adapting_kernel, case.output_mask = run_oracle(case, case.arrays)
    return case


def layer_of(case, call, smoothing):
    """The layer of a case, with its arrays as weights."""
    inverse = call["kind"] == "inverse"
    arguments = {
        **case.geometry,
        "kernel_size": case.kernel_size,
        "kernel_type": call["kind"],
        "asymmetric": call["asymmetric"],
        "normalize_kernel": call["normalize"],
        "smoothing": smoothing,
        "dtype": "float64",
        **({"alpha": 1, "exponent": 1} if inverse else {}),
    }
    if call["operation"] == "pool":
        layer = PacPool2D(channel_wise=call["channel_wise"], **arguments)
    else:
        kind = {"conv": PacConv2D, "transposed": PacConv2DTranspose}[call["operation"]]
        filters = call["channels"] if call["shared"] else call["filters"]
        shared = {"use_bias": call["bias"], "shared_filters": call["shared"]}
        layer = kind(filters, **shared, **arguments)
    layer.build([case.arrays["x"].shape, case.arrays["guide"].shape])
    for name, attribute in WEIGHTS.items():
        if name in case.arrays and getattr(layer, attribute, None) is not None:
            getattr(layer, attribute).assign(case.arrays[name])
    return layer


def call_layer(layer, inputs, mask):
    """[y], or [y, output mask]."""
    return [layer(inputs)] if mask is None else list(layer(inputs, valid_mask=mask))


@each_implementation
@each_operation
@examples(few=40, many=70)
def test_a_layer_gives_what_the_oracle_gives(name, operation, count):
    """From the guide at once, where the functions take a K that was computed before."""

    @check(count, call_with_smoothing(operation))
    def _(drawn):
        case = layer_case(*drawn)
        inputs = [tf.constant(case.arrays[key]) for key in ("x", "guide")]
        with keras_pac.implementation(name):
            layer = layer_of(case, *drawn)
            y, *output_mask = call_layer(layer, inputs, case.arrays.get("valid_mask"))
        output_mask = output_mask[0] if output_mask else None
        assert_is_oracle(case, (y, case.adapting_kernel, output_mask), "float64")


def layer_gradients(name, case, drawn):
    """The gradients by inputs and weights."""
    with keras_pac.implementation(name):
        layer = layer_of(case, *drawn)
        inputs = [tf.constant(case.arrays[key]) for key in ("x", "guide")]
        sources = [*inputs, *(weight.value for weight in layer.trainable_weights)]
        names = ["x", "guide", *(weight.name for weight in layer.trainable_weights)]
        mask = case.arrays.get("valid_mask")
        return dict(zip(names, gradients_of(lambda: call_layer(layer, inputs, mask)[:1], sources)))


@each_but_patches
@each_operation
@examples(few=15, many=30)
def test_gradients_of_a_layer_are_those_of_patches(name, operation, count):
    @check(count, call_with_smoothing(operation))
    def _(drawn):
        case = layer_case(*drawn)
        expected = layer_gradients("patches", case, drawn)
        for key, gradient in layer_gradients(name, case, drawn).items():
            assert_close(gradient, expected[key], "float64", f"gradient of {key}")


CHANNELS = 3
# Weights that differ from label to label come from `shaken`.
FIXED = {
    "dtype": "float64",
    "data_format": "channels_last",
    "trainable": True,
    "perturbed_init": False,
}
IMAGE_SIZES = st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6))


def field_of(kind, arguments, size, seed, shake=True):
    """(a CRF with random weights, [unary, features])."""
    rng = np.random.default_rng(seed)
    inputs = [tf.constant(rng.normal(size=(*size, c))) for c in (CHANNELS, 2)]
    layer = kind(**arguments)
    layer.build([tuple(tensor.shape) for tensor in inputs])
    if shake:
        shaken(layer, rng)
    return layer, inputs


@each_but_patches
@each_field
@examples(few=10, many=20)
def test_a_crf_gives_the_same_in_all_implementations(name, kind, count):
    @check(count, random_fields(**FIXED), IMAGE_SIZES, SEEDS)
    def _(arguments, size, seed):
        results = []
        for each in (name, "patches"):
            layer, inputs = field_of(kind, arguments, size, seed)
            sources = [*inputs, *(weight.value for weight in layer.trainable_weights)]
            with keras_pac.implementation(each):
                gradients = gradients_of(lambda: [layer(inputs)], sources)  # noqa: B023
                results.append([layer(inputs), *gradients])
        for actual, expected in zip(*results):
            assert_close(actual, expected, "float64")


@each_field
@examples(few=15, many=30)
def test_a_crf_takes_images_one_by_one(kind, count):
    @check(count, random_fields(**FIXED), IMAGE_SIZES, SEEDS)
    def _(arguments, size, seed):
        layer, inputs = field_of(kind, arguments, (3, *size[1:]), seed)
        y = layer(inputs)
        for i in range(3):
            assert_close(layer([tensor[i : i + 1] for tensor in inputs]), y[i : i + 1], "float64")


@each_field
@examples(few=15, many=30)
def test_a_crf_does_not_know_the_order_of_labels(kind, count):
    """As long as neither noise nor training makes weights differ from label to label."""

    @check(count, random_fields(**FIXED), IMAGE_SIZES, st.permutations(range(CHANNELS)), SEEDS)
    def _(arguments, size, order, seed):
        layer, (unary, features) = field_of(kind, arguments, size, seed, shake=False)
        y = layer([unary, features]).numpy()
        assert_close(layer([unary.numpy()[..., order], features]), y[..., order], "float64")


@each_field
@examples(few=15, many=30)
def test_a_crf_gives_probabilities_that_ignore_an_offset(kind, count):
    """They sum to one, and a number added to all logits of a pixel changes nothing."""
    fields = random_fields(output="softmax", **FIXED)

    @check(count, fields, IMAGE_SIZES, SEEDS)
    def _(arguments, size, seed):
        layer, (unary, features) = field_of(kind, arguments, size, seed)
        probabilities = layer([unary, features]).numpy()
        sums = probabilities.sum(axis=-1)
        assert_close(sums, np.ones(sums.shape), "float64")
        assert probabilities.min() >= -ROUNDED_ZERO
        offsets = np.random.default_rng(seed).normal(size=(*size, 1))
        assert_close(layer([unary + offsets, features]), probabilities, "float64")


@examples(few=15, many=30)
def test_the_outputs_of_a_crf_are_one_result_in_three_forms(count):
    @check(count, random_fields(output="logits", **FIXED), IMAGE_SIZES, SEEDS)
    def _(arguments, size, seed):
        logits, softmax, log_softmax = (
            layer(inputs).numpy()
            for layer, inputs in (
                field_of(PacCRF, {**arguments, "output": output}, size, seed)
                for output in ("logits", "softmax", "log_softmax")
            )
        )
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        assert_close(softmax, exponentials / exponentials.sum(-1, keepdims=True), "float64")
        assert_close(np.exp(log_softmax), softmax, "float64")

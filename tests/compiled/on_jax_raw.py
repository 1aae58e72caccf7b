"""Wrong calls of the core by JAX are errors, and no crash; `test_on_jax.py` runs it."""

import jax
import numpy as np
import pytest

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled.problem import INPUTS, OUTPUTS, bits

# Two images of 5 x 4, 3 channels to 6, guide of 2 channels, windows of 3 x 3, padding 1.
SIZES = (2, 5, 4, 5, 4, 5, 4, 3, 2, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 2, 0, 0, 0, 0, 0)
FULL = {
    "x": (2, 5, 4, 3),
    "guide": (2, 5, 4, 2),
    "filter": (9, 3, 6),
    "bias": (6,),
}
FORWARD = {"function": 2, "operands": FULL, "results": {"y": (2, 5, 4, 6)}, "sizes": SIZES}
BACKWARD = {
    **FORWARD,
    "function": 3,
    "operands": {**FULL, "upstream": (2, 5, 4, 6)},
    "results": {"x": (2, 5, 4, 3), "filter": (9, 3, 6)},
}


def size(**changes):
    """The sizes, with other numbers at some places."""
    numbers = list(SIZES)
    for place, number in changes.items():
        numbers[int(place[1:])] = number
    return {"sizes": tuple(numbers)}


WRONG = {
    "no sizes": {"sizes": ()},
    "a size too few": {"sizes": SIZES[:-1]},
    "a size too many": {"sizes": (*SIZES, 0)},
    "sizes of int32": {"sizes_type": "int32"},
    "another batch": size(n0=3),
    "negative batch": size(n0=-2),
    "huge batch": size(n0=2**62),
    "huge image": size(n1=2**40, n2=2**40),
    "huge channels": size(n7=2**61),
    "huge window": size(n10=2**31 - 1, n11=2**31 - 1),
    "even window": size(n10=2),
    "no stride": size(n12=0),
    "huge stride": size(n12=2**62),
    "huge padding": size(n18=2**62),
    "unknown type": size(n22=7),
    "huge type": size(n22=2**40 + 2),
    "another type": size(n22=3),
    "unknown filter type": size(n24=-1),
    "channel-wise": size(n26=1),
    "normalize": size(n27=1),
    "an image as bias": size(n28=1),
    "another softmax": size(n29=2),
    "unknown function": {"function": 9},
    "negative function": {"function": -1},
    "no inputs": {"attributes": {"inputs": np.int64(0)}},
    "another input": {
        "attributes": {"inputs": np.int64(bits(["x", "guide", "filter", "center"], INPUTS))}
    },
    "inputs beyond the last": {"attributes": {"inputs": np.int64(0b1111 << 10)}},
    "all inputs": {"attributes": {"inputs": np.int64(-1)}},
    "one of no field": {"attributes": {"outputs": np.int64(1 | 1 << 40)}},
    "no outputs": {"attributes": {"outputs": np.int64(0)}},
    "two outputs of one": {"attributes": {"outputs": np.int64(3)}},
    "another output": {"attributes": {"outputs": np.int64(bits(["bias"], OUTPUTS))}},
    "an output beyond the last": {"attributes": {"outputs": np.int64(1 << 62)}},
    "no operands": {"operands": {}},
    "no x": {"operands": {n: s for n, s in FULL.items() if n != "x"}},
    "small x": {"operands": {**FULL, "x": (2, 5, 4, 2)}},
    "scalar x": {"operands": {**FULL, "x": ()}, **size(n0=-1)},
    "empty filter": {"operands": {**FULL, "filter": (0,)}},
    "an axis before x": {"operands": {**FULL, "x": (7, 2, 5, 4, 3)}},
    "an axis of length 1 before x": {"operands": {**FULL, "x": (1, 2, 5, 4, 3)}},
    "an axis before all but the bias": {
        "operands": {n: s if n == "bias" else (2, *s) for n, s in FULL.items()}
    },
    "ten axes before x": {"operands": {**FULL, "x": (*[1] * 10, 2, 5, 4, 3)}},
    "x of float64": {"types": "float64"},
    "x of int32": {"types": "int32"},
    "small result": {"results": {"y": (2, 5, 4, 5)}},
    "result of float64": {"results_type": "float64"},
}


def call(
    function,
    operands,
    results,
    sizes,
    types="float32",
    results_type="float32",
    sizes_type="int64",
    attributes=(),
):
    """Call the core; `attributes` replace the right ones: None for one that is not there."""
    assert not isinstance(library.load(), str)
    attributes = {
        "function": np.int32(function),
        "sizes": np.array(sizes, sizes_type),
        "inputs": np.int64(bits(operands, INPUTS)),
        "outputs": np.int64(bits(results, OUTPUTS)),
        **dict(attributes),
    }
    attributes = {name: value for name, value in attributes.items() if value is not None}
    shapes = [jax.ShapeDtypeStruct(shape, results_type) for shape in results.values()]
    ffi_call = jax.ffi.ffi_call(library.XLA_TARGET, shapes)
    function = jax.jit(lambda *arrays: ffi_call(*arrays, **attributes))
    return jax.block_until_ready(function(*(np.ones(s, types) for s in operands.values())))


@pytest.mark.parametrize("right", [FORWARD, BACKWARD], ids=["forward", "gradient"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_an_error(wrong, right):
    changes = dict(WRONG[wrong])
    if right is BACKWARD:
        if "operands" in changes:
            changes["operands"] = {**changes["operands"], "upstream": (2, 5, 4, 6)}
        if "results" in changes:
            changes["results"] = {"x": (2, 5, 4, 2), "filter": (9, 3, 6)}
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT"):
        call(**{**right, **changes})


@pytest.mark.parametrize("name", ["function", "sizes", "inputs", "outputs"])
@pytest.mark.parametrize("value", [None, "text", np.float32(1)])
def test_a_wrong_attribute_is_an_error(name, value):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT"):
        call(**FORWARD, attributes={name: value})


def test_the_unchanged_calls_are_right():
    (y,) = call(**FORWARD)
    assert np.all(np.isfinite(y))
    for name, gradient in zip(BACKWARD["results"], call(**BACKWARD)):
        assert gradient.shape == BACKWARD["results"][name] and np.any(gradient)

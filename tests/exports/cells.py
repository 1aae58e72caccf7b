"""One cell of the table: a model, exported in a format, against its definition."""

from typing import NamedTuple

from tests.exports.formats import FORMATS, run
from tests.exports.models import MODELS, SIZES, case
from tests.support.tolerances import RELATIVE, relative_error

ROWS = [(model, kind) for model in MODELS for kind in SIZES]
CELLS = [(model, kind, name) for model, kind in ROWS for name in FORMATS]


class Result(NamedTuple):
    """The largest relative error of a cell, and the largest that is allowed."""

    error: float
    bound: float


def result_of(model, kind, name, folder):
    """Export, run in another process, compare with the definition in float64."""
    network, all_inputs, expected = case(model, kind)
    FORMATS[name].write(network, folder)
    outputs = run(FORMATS[name].runtime, folder, all_inputs)
    for output, reference in zip(outputs, expected):
        assert output.shape == reference.shape and output.dtype == "float32"
    error = max(map(relative_error, outputs, expected))
    return Result(error, bound_of(name, folder))


def bound_of(name, folder):
    """The tolerance of float32; for int8 what rounding to -127 ... 127 may do.

    A number rounded to a multiple of 1/127 of the largest one is off by half of that. The converter
    rounds the weights and the runtime what they are multiplied with, so each product whose weights
    became int8 gets an error of up to 1/127. What follows in the network may double it.
    """
    if name != "LiteRT int8":
        return RELATIVE["float32"]
    products = int((folder / "int8.txt").read_text())
    assert products, "nothing became int8"
    return 2 * products / 127

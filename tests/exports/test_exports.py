"""Cells of the table: an exported model computes, without keras_pac, what it did before."""

import pytest

from tests.exports.cells import CELLS, result_of
from tests.exports.formats import FORMATS

FAST = {(model, "fixed size") for model in ("Sequential", "conv", "transposed", "pooling")}
# Of a fixed size the others are exported by `make exports` only: unknown sizes ask for more.
TESTED = [cell for cell in CELLS if cell[:2] in FAST or cell[1] == "unknown sizes"]


@pytest.mark.parametrize(
    "model, kind, name",
    [
        pytest.param(*cell, marks=[] if cell[:2] in FAST else [pytest.mark.slow], id="-".join(cell))
        for cell in TESTED
    ],
)
def test_an_exported_model_computes_the_same(model, kind, name, tmp_path):
    if missing := FORMATS[name].missing:
        pytest.skip(f"not installed: {missing}")
    error, bound = result_of(model, kind, name, tmp_path)
    assert error <= bound

"""Every cell of the table: an exported model computes, without keras_pac, what it did before."""

import pytest

from tests.exports.cells import CELLS, result_of
from tests.exports.formats import FORMATS

FAST = {(model, "fixed size") for model in ("Sequential", "conv", "transposed", "pooling")}


@pytest.mark.parametrize(
    "model, kind, name",
    [
        pytest.param(*cell, marks=[] if cell[:2] in FAST else [pytest.mark.slow], id="-".join(cell))
        for cell in CELLS
    ],
)
def test_an_exported_model_computes_the_same(model, kind, name, tmp_path):
    if missing := FORMATS[name].missing:
        pytest.skip(f"not installed: {missing}")
    error, bound = result_of(model, kind, name, tmp_path)
    assert error <= bound

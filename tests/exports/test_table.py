"""The table in docs/results/exports.md is the one that is tested."""

import re

from tests.exports.cells import ROWS
from tests.exports.formats import FORMATS
from tests.exports.table import END, PACKAGES, PAGE, START, lines_of
from tests.support.tolerances import RELATIVE

# A result is wanted from every cell, so none may say "no".
NUMBER = re.compile(r"\de-\d+")


def test_rows_and_columns_are_those_that_are_tested():
    table, versions, _ = PAGE.read_text().split(START)[1].split(END)[0].rsplit("\n", 2)
    lines = table.rstrip("\n").split("\n")
    cells = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert lines == list(lines_of(dict(zip(ROWS, (row[1:] for row in cells)))))
    assert all(f"{package} " in versions for package in PACKAGES)
    for row in cells:
        for name, cell in zip(FORMATS, row[1:]):
            assert NUMBER.fullmatch(cell), f"{row[0]}, {name}: {cell}"
            if name != "LiteRT int8":
                assert float(cell) <= RELATIVE["float32"]

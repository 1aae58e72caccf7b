"""Makes the table in docs/results/exports.md: `python -m tests.exports.table`."""

import importlib.metadata
import pathlib
import tempfile

from tests.exports.cells import ROWS, result_of
from tests.exports.formats import FORMATS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "results" / "exports.md"
START, END = "<!-- made by `make exports` -->\n", "<!-- end -->\n"
PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "openvino",
)


def lines_of(cells):
    """A Markdown table from its cells: {row: [text, ...]}."""
    yield f"| model | {' | '.join(FORMATS)} |"
    yield "|---|" + "---|" * len(FORMATS)
    for (model, kind), row in cells.items():
        yield f"| {model}, {kind} | {' | '.join(row)} |"


def text_of(model, kind, name):
    """What stands in a cell: the error, or that there is a larger one than allowed."""
    with tempfile.TemporaryDirectory() as folder:
        error, bound = result_of(model, kind, name, pathlib.Path(folder))
    number = f"{error:.0e}".replace("e-0", "e-")
    return number if error <= bound else f"no: {number}"


def main():
    cells = {row: [text_of(*row, name) for name in FORMATS] for row in ROWS}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    table = "\n".join([*lines_of(cells), "", f"With {versions}.", ""])
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(before + START + table + END + rest.split(END)[1])
    print(table)


if __name__ == "__main__":
    main()

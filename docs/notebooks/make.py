"""Makes notebooks of some guides: `make notebooks`. Edit the guides, not these."""

import pathlib
import re

import jupytext
import nbformat

HERE = pathlib.Path(__file__).resolve().parent
GUIDES = ("layer", "upsample", "crf")
INSTALL = """\
import importlib.util

if importlib.util.find_spec("keras_pac") is None:  # as in Colab
    # From an index, once it is there. Before, install a wheel of `make wheel` instead.
    %pip install --quiet keras-pac matplotlib scikit-image"""


def notebook_of(name):
    """The notebook of a guide: its cells, and one that installs what they need."""
    cells = jupytext.read(HERE.parent / "guides" / f"{name}.py", fmt="py:percent").cells
    title, *cells = (without_roles(cell) for cell in cells)
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    notebook.cells = [title, nbformat.v4.new_code_cell(INSTALL), *cells]
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return nbformat.writes(notebook) + "\n"


def without_roles(cell):
    """A cell whose links to other pages are names, since a notebook stands alone."""
    if cell.cell_type == "markdown":
        cell.source = re.sub(
            r"\{doc\}`/?([^`<]*)`", r"the page `\1` of the documentation", cell.source
        )
        cell.source = re.sub(
            r"\{[\w:]+\}`/?([^`<]*?)(?: <[^>]*>)?`", r"`\1`", cell.source
        )
    return cell


if __name__ == "__main__":
    for name in GUIDES:
        (HERE / f"{name}.ipynb").write_text(notebook_of(name), encoding="utf-8")

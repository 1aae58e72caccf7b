"""The class of the figures; only `_drawing` imports this, since it needs matplotlib."""

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that shows itself as the last expression of a notebook cell.

    Notebooks show a plain Figure only after pyplot was imported; and pyplot keeps what it makes
    itself.
    """

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

"""How the reference reads docstrings: formulae as written, signatures of layers."""

import inspect
import re


def show_formulae(app, what, name, public, options, lines):
    """Mark an indented block after a paragraph as one that keeps its line breaks."""
    for i in range(len(lines) - 1, 1, -1):
        starts = lines[i].startswith("    ") and lines[i - 1] == ""
        is_heading = re.fullmatch(r"[A-Z][\w ]*:", lines[i - 2])
        if (
            starts
            and lines[i - 2]
            and not lines[i - 2].startswith(" ")
            and not is_heading
        ):
            lines[i:i] = ["::", ""]


def take_init(app, what, name, public, options, signature, return_annotation):
    """A class has the arguments of `__init__`; Keras's `__new__` has only `*args`."""
    if what != "class":
        return None
    parameters = list(inspect.signature(public.__init__).parameters.values())[1:]
    return str(inspect.Signature(parameters)), None


def setup(app):
    before_napoleon = 400
    app.connect("autodoc-process-docstring", show_formulae, before_napoleon)
    app.connect("autodoc-process-signature", take_init)
    return {"parallel_read_safe": True}

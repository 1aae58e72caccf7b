"""The Python of the README and of the documents runs, from top to bottom."""

import re

import pytest

from tests.support.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/results/exports.md",
        "docs/how_it_works/implementations.md",
        "docs/how_it_works/compiled_op.md",
    ],
)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    text = (ROOT / name).read_text()
    monkeypatch.chdir(tmp_path)
    namespace = {}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        first_line = text[: block.start(1)].count("\n")
        # Empty lines in front, so that an error names the line of the file.
        code = compile("\n" * first_line + block[1], name, "exec")
        exec(code, namespace)

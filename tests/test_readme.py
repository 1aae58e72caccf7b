"""The Python of the README runs, from top to bottom."""

import re

from tests.support.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    namespace = {}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        first_line = text[: block.start(1)].count("\n")
        # Empty lines in front, so that an error names the line of the README.
        code = compile("\n" * first_line + block[1], "README.md", "exec")
        exec(code, namespace)

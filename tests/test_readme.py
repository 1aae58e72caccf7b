"""The Python of the README and of the documents runs, from top to bottom."""

import pytest

from tests.support.pages import MARKDOWN, run_blocks
from tests.support.paths import ROOT

PAGES = [
    path.relative_to(ROOT).as_posix() for path in MARKDOWN if "\n```python\n" in path.read_text()
]


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(name)

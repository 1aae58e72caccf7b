"""The Python of the README and of the documents runs, from top to bottom."""

import shutil

import pytest

from tests.support.pages import MARKDOWN, run_blocks
from tests.support.paths import REFERENCE_MODELS, ROOT

PAGES = [
    path.relative_to(ROOT).as_posix() for path in MARKDOWN if "\n```python\n" in path.read_text()
]
# The files that a page speaks of.
FILES = {"docs/migrating.md": {"their_file.pth": REFERENCE_MODELS / "pac_x8.pth"}}


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, source in FILES.get(name, {}).items():
        shutil.copy(source, file)
    assert run_blocks(name)

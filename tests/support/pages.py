"""The pages of the documentation: Markdown, and scripts whose comments are Markdown."""

import re
import shutil

from tests.support.paths import REFERENCE_MODELS, ROOT

DOCS = ROOT / "docs"
MARKDOWN = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
# The files that a page speaks of.
FILES = {"docs/migrating.md": {"their_file.pth": REFERENCE_MODELS / "pac_x8.pth"}}
SCRIPTS = [p for p in sorted(DOCS.rglob("*.py")) if p.read_text().startswith("# %%")]


def markdown_of(path):
    """The Markdown of a page, on the lines that it has in the file."""
    text = path.read_text()
    if path.suffix == ".md":
        return text
    lines, is_markdown = [], False
    for line in text.splitlines():
        if line.startswith("# %%"):
            is_markdown = line.startswith("# %% [markdown]")
            line = ""
        lines.append(line.removeprefix("#").removeprefix(" ") if is_markdown else "")
    return "\n".join(lines) + "\n"


def fences_of(text):
    """(line before the code, language, code) of each block of Markdown."""
    for block in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        yield text[: block.start(2)].count("\n"), block[1], block[2]


def is_python(language, code):
    return language == "python"


def run_blocks(name, wanted=is_python):
    """Run blocks of a page from top to bottom, in the current folder; return what they define.

    `wanted(language, code)` tells which. The files that the page speaks of are put there first.
    """
    for file, source in FILES.get(name, {}).items():
        shutil.copy(source, file)
    namespace = {}
    for line_before, language, code in fences_of((ROOT / name).read_text()):
        if wanted(language, code):
            # Empty lines in front, so that an error names the line of the page.
            exec(compile("\n" * line_before + code, name, "exec"), namespace)
    return namespace

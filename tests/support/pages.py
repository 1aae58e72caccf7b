"""The pages of the documentation: Markdown, and scripts whose comments are Markdown."""

import re

from tests.support.paths import ROOT

DOCS = ROOT / "docs"
MARKDOWN = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
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


def blocks_of(name, languages=("python",)):
    """The blocks ```LANGUAGE of a page, compiled so that an error names the line of the page."""
    text = (ROOT / name).read_text()
    fence = re.compile(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for block in fence.finditer(text):
        empty_lines = "\n" * text[: block.start(1)].count("\n")
        yield compile(empty_lines + block[1], name, "exec")


def run_blocks(name, languages=("python",)):
    """Run the blocks of a page from top to bottom; return what they define."""
    namespace = {}
    for block in blocks_of(name, languages):
        exec(block, namespace)
    return namespace

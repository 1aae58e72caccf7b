"""The blocks of code of a page in Markdown."""

import re

from tests.support.paths import ROOT


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

"""The targets of the Makefile."""

import re

from tests.support.paths import ROOT

TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

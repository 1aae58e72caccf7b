"""Where things are in the sources."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
REFERENCE = ROOT / "tests" / "reference"
REFERENCE_MODELS = ROOT / "tests" / "reference_models"

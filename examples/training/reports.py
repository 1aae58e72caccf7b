"""The numbers of an evaluation as a file."""

import json
from pathlib import Path

from examples import files
from examples.training.checkpoints import clear_about_full_disk


def write_report(path, report):
    """Write the report as JSON, whole or not at all, into a folder that need not be there yet."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with clear_about_full_disk(f"{path} was not written."):
        with files.atomic_write(path) as file:
            file.write(json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n")

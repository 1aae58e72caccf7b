"""The files that an evaluation writes."""

import json
import re
from pathlib import Path

from examples import files
from examples.training.errors import full_disk_explained


def write_report(path, report):
    """Write the report as JSON."""
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a text file, whole or not at all, into a folder that need not be there yet."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with full_disk_explained(f"{path} was not written."):
        with files.atomic_write(path) as file:
            file.write(text.encode())


def picture_path(folder, name):
    """The PNG of an example; the name of an example may have folders in it."""
    return Path(folder) / (re.sub(r"[/\\]", "_", name) + ".png")

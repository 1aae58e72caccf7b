"""What a training run wrote down."""

import csv


def log_of(folder):
    """The rows of its log, as dictionaries."""
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def steps_of(folder):
    """The steps after which a row was written."""
    return [int(row["step"]) for row in log_of(folder)]

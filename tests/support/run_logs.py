"""What a training run wrote down."""

import csv

from examples.training.run import read_checkpoint


def log_of(folder):
    """The rows of its log, as dictionaries."""
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def step_of(folder):
    """The step of its checkpoint."""
    return read_checkpoint(folder / "checkpoint.npz")[0]["step"]


def steps_of(folder):
    """The steps after which a row was written."""
    return [int(row["step"]) for row in log_of(folder)]

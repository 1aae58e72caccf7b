"""Runs the segmentation program, in this process or one of its own."""

import json

import keras
import numpy as np

from examples.segmentation import __main__
from examples.training import command_line
from tests.support.processes import start_python
from tests.support.segmentation_child import CLASSES

OPTIONS = "train --data drawn --crop 24 --batch-size 2 --seed 3".split()

NEW = ["--network", "small", "--classes", str(CLASSES)]


def run_program(*arguments):
    """Run the program in this process, without the determinism that it cannot switch off again."""
    command_line.run_command(__main__.make_parser().parse_args([str(a) for a in arguments]))


def start_child(full_disk, arguments):
    """A process of its own; the checkpoint with the number `full_disk` finds the disk full."""
    arguments = json.dumps([full_disk, *map(str, arguments)])
    return start_python("-m", "tests.support.segmentation_child", arguments)


def load(folder):
    return keras.models.load_model(folder / "network.keras")


def assert_same_bits(folder, other):
    for one, two in zip(load(folder).get_weights(), load(other).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)

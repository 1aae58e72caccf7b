"""Runs the joint upsampling program, in this process or one of its own."""

import keras

from examples.joint_upsampling import __main__
from examples.training import command_line
from tests.support.processes import start_python

OPTIONS = (
    "train --data drawn --network PacJointUpsampleLite --crop 32 --batch-size 2 --schedule cosine "
    "--learning-rate 1e-3 --initial-weights interpolation"
).split()


def run_program(*arguments):
    """Run the program in this process, without the determinism that it cannot switch off again."""
    command_line.run_command(__main__.make_parser().parse_args([str(a) for a in arguments]))


def start_child(*arguments, **environment):
    return start_python("-m", "tests.support.joint_upsampling_child", *arguments, **environment)


def weights_of(folder):
    return keras.models.load_model(folder / "network.keras").get_weights()

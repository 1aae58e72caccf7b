"""Runs the joint upsampling program, in this process or one of its own."""

import keras
import numpy as np
from PIL import Image

from examples.joint_upsampling import __main__
from examples.scenes.drawing import draw_scene
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


def write_pairs(folder, count=3, size=48):
    """Folders of PNGs as a person has them; 0 means unknown."""
    for number in range(count):
        image, disparity = draw_scene(np.random.default_rng(number), size)
        for name, array in (("rgb", image), ("depth", (100 * disparity).astype(np.uint16))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"{number}.png")
    return ["--data", "folder", "--images", folder / "rgb", "--targets", folder / "depth"]

"""Runs the joint upsampling program on a few drawn scenes.

With KILLED_IN in its environment, it is killed then: see `kill_in`.
"""

import os

import numpy as np
import tensorflow as tf

from examples.joint_upsampling import __main__, data, train
from examples.scenes.drawing import draw_scene
from examples.training.data import Examples
from tests.support.killed import kill_in


def drawn_examples(count=5, size=48, first=0, channels=1):
    """Examples as a builder gives them; the targets have unknown pixels, the first one is flat."""
    for number in range(first, first + count):
        image, disparity = draw_scene(np.random.default_rng(number), size)
        target = np.stack([disparity * (-1) ** channel for channel in range(channels)], -1)
        target = target.astype(np.float32)
        if number == 0:
            target[:] = 3
        target[:5, :7] = np.nan
        yield {"image": image, "target": target, "name": f"scene {number}".encode()}


def examples_of(drawn, channels=1):
    """`Examples` of what is drawn: a list of examples as a builder gives them."""
    spec = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "target": tf.TensorSpec((None, None, channels), tf.float32),
        "name": tf.TensorSpec((), tf.string),
    }
    dataset = tf.data.Dataset.from_generator(lambda: iter(drawn), output_signature=spec)
    return Examples(dataset, len(drawn), "drawn")


def open_drawn(args, split):
    first = {"train": 0, "test": 100}[split]
    return examples_of(list(drawn_examples(first=first)))


if __name__ == "__main__":
    data.open_dataset = open_drawn
    if "KILLED_IN" in os.environ:
        kill_in(os.environ["KILLED_IN"], train, "mean_error")
    __main__.main()

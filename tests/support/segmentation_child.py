"""Runs the segmentation program on a few drawn images.

The JSON has the number of the checkpoint that finds the disk full (0: none), then the arguments.
"""

import json
import sys

import numpy as np
import tensorflow as tf

from examples.files import IGNORED_LABEL
from examples.segmentation import __main__, data
from examples.training import run
from examples.training.data import Examples
from tests.support.full_disk import full_on_call

CLASSES = 4


def drawn_examples(count=5, first=0):
    """Examples as a builder gives them, of several sizes: squares in the colours of their class.

    The image is the label's colour with some noise; a few pixels are ignored.
    """
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        label = np.zeros((33 + number % 3, 40 - number % 2), np.uint8)
        for _ in range(5):
            top, left = rng.integers(0, 30, 2)
            label[top : top + 12, left : left + 12] = rng.integers(CLASSES)
        colors = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [120, 120, 120]])
        image = np.clip(colors[label] + rng.normal(0, 20, (*label.shape, 3)), 0, 255)
        label[rng.random(label.shape) < 0.02] = IGNORED_LABEL
        yield {
            "image": image.astype(np.uint8),
            "label": label[..., None],
            "name": f"image {number}".encode(),
        }


def examples_of(drawn):
    """`Examples` of what is drawn: a list of examples as a builder gives them."""
    spec = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((None, None, 1), tf.uint8),
        "name": tf.TensorSpec((), tf.string),
    }
    dataset = tf.data.Dataset.from_generator(lambda: iter(drawn), output_signature=spec)
    return Examples(dataset, len(drawn), "drawn")


def open_drawn(args, split):
    return examples_of(list(drawn_examples(first={"train": 0, "val": 100}[split])))


if __name__ == "__main__":
    data.open_dataset = open_drawn
    full_disk, *arguments = json.loads(sys.argv[1])
    run.np.savez = full_on_call(full_disk, np.savez)
    try:
        __main__.main(arguments)
    except SystemExit as end:
        print(end)

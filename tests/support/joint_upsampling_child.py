"""Runs the joint upsampling program on a few drawn scenes."""

import numpy as np

from examples.joint_upsampling import __main__, data
from examples.scenes.drawing import draw_scene


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


def open_drawn(args, split):
    first = {"train": 0, "test": 100}[split]
    return data.checked(drawn_examples(first=first))


if __name__ == "__main__":
    data.open_dataset = open_drawn
    __main__.main()

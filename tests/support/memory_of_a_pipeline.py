"""`python -m tests.support.memory_of_a_pipeline FOLDER BATCHES`: its memory at the peak, in MB.

With no batches the data set in FOLDER is only prepared, which takes more memory.
"""

import functools
import resource
import sys
import time

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from examples.joint_upsampling import __main__
from examples.joint_upsampling import data as joint_upsampling
from examples.training import data


def write_pairs(folder, count):
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.integers(0, 256, (300, 400, 3), np.uint8) // 64
        Image.fromarray(image).save(folder / "rgb" / f"{number}.png", compress_level=1)
        depth = np.full((300, 400), number + 1, np.uint16)
        Image.fromarray(depth).save(folder / "depth" / f"{number}.png", compress_level=1)


def read(folder, count):
    options = f"--data folder --images {folder}/rgb --targets {folder}/depth --crop 64"
    command = f"train {options} --data-dir {folder}/prepared --out unused".split()
    args = __main__.make_parser().parse_args(command)
    examples = joint_upsampling.open_dataset(args, "train")
    if count:
        for _ in joint_upsampling.batches(examples, args).take(count):
            time.sleep(0.02)  # a step of training, while which a pipeline may read ahead


if __name__ == "__main__":
    # A large data set has many files, and a reader may read ahead in each of them.
    many_files = functools.partial(tfds.download.DownloadConfig, num_shards=16)
    tfds.download.DownloadConfig = many_files
    data.CACHE_BYTES, data.SHUFFLE_BYTES = 0, 2**23
    read(sys.argv[1], int(sys.argv[2]))
    print("peak:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)

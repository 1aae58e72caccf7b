"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import dataclasses
import math
import os
import zlib

import numpy as np
import tensorflow as tf

from examples.training.data import Order, load_dataset, readable, storage
from examples.training.errors import UserError
from examples.upsampling.colors import GAINS, GAMMAS, SATURATIONS, change_colors
from examples.upsampling.low_resolution import fill_unknown, low_resolution, offset_and_scale


def open_dataset(args, split):
    """The examples (dicts of NumPy arrays `image`, `target` and a `name`) that `args` ask for."""
    name = manual_dir = None
    pairs = ("images", "targets", "unknown", "target_scale")
    config = {key: getattr(args, key) for key in pairs if getattr(args, key) is not None}
    if "target_scale" in config:
        config["scale"] = config.pop("target_scale")
    if args.data == "folder":
        if not (args.images and args.targets):
            raise UserError("--data folder needs --images DIR and --targets DIR")
        for key in ("images", "targets"):
            config[key] = os.path.abspath(config[key])
        name = "image_folder_pairs"
        manual_dir = os.path.commonpath([config["images"], config["targets"]])
    if args.render_pass:
        config["render_pass"] = args.render_pass
    dataset = load_dataset(args, split, config, name, manual_dir)
    return checked(dataset.as_numpy_iterator())


def split_or_default(args):
    """`--split`, or its default; the only split of `--data folder` is `train`."""
    return args.split or ("train" if args.data == "folder" else args.default_split)


def checked(examples):
    """Pass on the examples, with `name` as a str; stop at the first that does not fit."""
    for example in readable(examples):
        image, target, name = example["image"], example["target"], example["name"].decode()
        if image.shape[:2] != target.shape[:2]:
            raise UserError(
                f"{name}: the image has {_size(image)} pixels and the target {_size(target)}"
            )
        if not np.isfinite(target).all(-1).any():
            raise UserError(f"{name}: every pixel of the target is unknown")
        yield {"image": image, "target": target, "name": name}


def _size(image):
    return f"{image.shape[0]}x{image.shape[1]}"


def low_res_or_default(how, channels):
    """The paper's ways: the centre of a cell for depth, antialiased bilinear for flow."""
    return how or ("bilinear" if channels == 2 else "center")


@dataclasses.dataclass
class Images:
    """Decoded images, in memory or in a temporary file."""

    names: list
    guides: list  # uint8
    targets: list  # float32; unknown pixels have the value of the nearest known one
    known: list  # bool, or None where every pixel is known
    checksum: int

    def __len__(self):
        return len(self.names)


def read_images(examples, in_file=False):
    """All the examples as `Images`."""
    keep = storage(in_file)
    images, checksum = Images([], [], [], [], 0), 0
    for example in examples:
        target = example["target"]
        known = np.isfinite(target).all(-1)
        for array in (example["image"], target):
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
        images.names.append(example["name"])
        images.guides.append(keep(example["image"]))
        images.targets.append(keep(fill_unknown(target)))
        images.known.append(None if known.all() else keep(known))
    if not images.names:
        raise UserError("The data set has no examples")
    images.checksum = checksum
    return images


class Sampler:
    """Random crops: example i of the run is a function of the seed and i alone."""

    def __init__(self, images, factor, low_res, crop, flips, jitter, seed):
        if crop % factor:
            raise UserError(f"The crop must be a multiple of the factor: {crop} of {factor} is not")
        self.images, self.factor, self.crop = images, factor, crop
        self.flips, self.jitter = flips, jitter
        self.channels = images.targets[0].shape[2]
        self.low_res = low_res_or_default(low_res, self.channels)
        self.ranges = [self._range(i) for i in range(len(images))]
        self.order = Order(len(images), seed)

    def _range(self, i):
        """The smallest and largest low-res value of every channel of image i."""
        target, name = self.images.targets[i], self.images.names[i]
        rows, cols = target.shape[:2]
        if min(rows, cols) < self.crop:
            raise UserError(
                f"{name} has {rows}x{cols} pixels, less than the crop of {self.crop}: "
                "choose a smaller --crop"
            )
        if target.shape[2] != self.channels:
            raise UserError(
                f"{name} has {target.shape[2]} target channels and {self.images.names[0]} "
                f"{self.channels}"
            )
        whole = target[: rows - rows % self.factor, : cols - cols % self.factor]
        low = low_resolution(whole, self.factor, self.low_res)
        return low.min((0, 1)), low.max((0, 1))

    def __call__(self, index):
        """((low-res target, guide), target) of the example `index` of the run.

        The low-res range of the whole image scales both targets to [0, 1]. Unknown pixels of the
        full-size one are NaN.
        """
        i, random = self.order(index)
        rows, cols = self.images.targets[i].shape[:2]
        top, left = (int(random.integers(n - self.crop + 1)) for n in (rows, cols))
        region = np.s_[top : top + self.crop, left : left + self.crop]
        guide = self.images.guides[i][region].astype(np.float32) / 255
        target = np.array(self.images.targets[i][region])
        known = self.images.known[i]
        known = np.ones(target.shape[:2], bool) if known is None else known[region]
        lowest, highest = (values.copy() for values in self.ranges[i])

        for axis in (0, 1):
            if self.flips and random.random() < 0.5:
                guide, target, known = (np.flip(a, axis) for a in (guide, target, known))
                if self.channels == 2:  # flow (u, v) changes its sign along the mirrored axis
                    channel = 1 - axis
                    target = target * np.where(np.arange(2) == channel, -1, 1).astype(np.float32)
                    lowest[channel], highest[channel] = -highest[channel], -lowest[channel]
        if self.jitter:
            saturation, gains = random.uniform(*SATURATIONS), random.uniform(*GAINS, 3)
            guide = change_colors(guide, saturation, gains, random.uniform(*GAMMAS))

        offset, scale = offset_and_scale(np.array([lowest, highest]))
        target = ((target - offset) / scale).astype(np.float32)
        low = low_resolution(target, self.factor, self.low_res)
        target = np.where(known[..., None], target, np.float32(np.nan))
        return np.ascontiguousarray(low), np.ascontiguousarray(guide, np.float32), target


def batches(sampler, batch_size, first_step, steps, context):
    """A `tf.data.Dataset` of this pipeline's share of the batches, from `first_step` on.

    `context` is a `tf.distribute.InputContext`. Of the examples of a step, each replica gets an
    equal share, in the order of the replicas.
    """
    pipelines, pipeline = context.num_input_pipelines, context.input_pipeline_id
    per_replica = batch_size // context.num_replicas_in_sync
    share = batch_size // pipelines
    crop, channels, low = sampler.crop, sampler.channels, sampler.crop // sampler.factor

    def example(number):
        step, place = number // share, number % share
        index = step * batch_size + pipeline * share + place
        arrays = tf.numpy_function(sampler, [index], [tf.float32] * 3, stateful=False)
        shapes = (low, low, channels), (crop, crop, 3), (crop, crop, channels)
        for array, shape in zip(arrays, shapes):
            array.set_shape(shape)
        return (arrays[0], arrays[1]), arrays[2]

    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    numbers = tf.data.Dataset.range(first_step * share, steps * share)
    examples = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = examples.batch(per_replica, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return dataset.with_options(options)


def steps_of_epochs(epochs, examples, batch_size):
    """How many batches show every image `epochs` times."""
    return max(1, math.ceil(epochs * examples / batch_size))

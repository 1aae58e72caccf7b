"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import math
import os

import numpy as np
import tensorflow as tf

from examples.training.data import kept, load_examples, numbered, readable, seeds, with_options
from examples.training.errors import UserError
from examples.upsampling.colors import GAINS, GAMMAS, SATURATIONS, change_colors
from examples.upsampling.low_resolution import fill_unknown, low_resolution


def open_dataset(args, split):
    """The `Examples` that `args` ask for, of `image`, `target` and `name`."""
    name, manual_dir = None, None
    pairs = ("images", "targets", "unknown", "target_scale")
    config = {key: getattr(args, key) for key in pairs if getattr(args, key) is not None}
    if "target_scale" in config:
        config["scale"] = config.pop("target_scale")
    if args.data == "folder":
        if not (args.images and args.targets):
            raise UserError("--data folder needs --images DIR and --targets DIR")
        name, manual_dir = "image_folder_pairs", _common_folder(args)
        for key in ("images", "targets"):
            config[key] = os.path.abspath(config[key])
    if args.render_pass:
        config["render_pass"] = args.render_pass
    return load_examples(args, split, config, name, manual_dir)


def _common_folder(args):
    return os.path.commonpath([os.path.abspath(path) for path in (args.images, args.targets)])


def split_or_default(args):
    """The split that `args` ask for; the only one of `--data folder` is called `train`."""
    return args.split or ("train" if args.data == "folder" else args.default_split)


def arrays(examples):
    """Every example as NumPy arrays, with `name` as a str; stop at the first that does not fit."""
    for example in readable(examples.dataset):
        example["name"] = example["name"].decode()
        check(**example)
        yield example


def check(image, target, name):
    """Raise a UserError unless image and target have the same size and a pixel is known."""
    if image.shape[:2] != target.shape[:2]:
        sizes = (f"{array.shape[0]}x{array.shape[1]}" for array in (image, target))
        raise UserError("{}: the image has {} pixels and the target {}".format(name, *sizes))
    if not np.isfinite(target).all(-1).any():
        raise UserError(f"{name}: every pixel of the target is unknown")


def low_res_or_default(how, channels):
    """The paper's ways: the centre of a cell for depth, antialiased bilinear for flow."""
    return how or ("bilinear" if channels == 2 else "center")


def batches(examples, args, low_res, first_step):
    """The batches of a run after `first_step`, endless: ((low-res target, guide), target).

    The low-res range of the whole image scales both targets to [0, 1]. Unknown pixels of the
    full-size one are NaN.
    """
    dataset = kept(prepared(examples, args, low_res), examples.count, args.cache)
    first = first_step * args.batch_size
    crops = numbered(dataset, examples.count, args.seed, first).map(
        lambda number, example: crop(number, example, args, low_res),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return with_options(crops.batch(args.batch_size, drop_remainder=True))


def prepared(examples, args, low_res):
    """The examples as crops need them: the image, the target, which pixels are known, the range."""
    channels = examples.channels

    def prepare(image, target, name):
        name = name.decode()
        check(image, target, name)
        rows, cols = image.shape[:2]
        if min(rows, cols) < args.crop:
            raise UserError(
                f"{name} has {rows}x{cols} pixels, less than the crop of {args.crop}: choose a "
                "smaller --crop"
            )
        filled = fill_unknown(target)
        whole = filled[: rows - rows % args.factor, : cols - cols % args.factor]
        low = low_resolution(whole, args.factor, low_res)
        known = np.isfinite(target).all(-1, keepdims=True)
        return image, filled, known, np.stack([low.min((0, 1)), low.max((0, 1))])

    def mapped(example):
        values = [example[name] for name in ("image", "target", "name")]
        types = tf.uint8, tf.float32, tf.bool, tf.float32
        values = tf.numpy_function(prepare, values, types, stateful=False)
        shapes = (None, None, 3), (None, None, channels), (None, None, 1), (2, channels)
        for value, shape in zip(values, shapes):
            value.set_shape(shape)
        return dict(zip(("image", "target", "known", "range"), values))

    return examples.dataset.map(mapped, num_parallel_calls=tf.data.AUTOTUNE)


def crop(number, example, args, low_res):
    """The random crop that is the example `number` of a run."""
    image, target, known = (example[name] for name in ("image", "target", "known"))
    limits, channels = example["range"], target.shape[2]
    random = seeds(args.seed, number, 7)
    corner = [
        tf.random.stateless_uniform([], seed, maxval=size - args.crop + 1, dtype=tf.int32)
        for seed, size in zip(random[:2], tf.unstack(tf.shape(image)[:2]))
    ]
    image, target, known = (
        tf.slice(array, [*corner, 0], [args.crop, args.crop, array.shape[2]])
        for array in (image, target, known)
    )
    if args.flips:
        for axis, seed in enumerate(random[2:4]):
            flips = tf.random.stateless_uniform([], seed) < 0.5
            image, target, known = (
                tf.where(flips, tf.reverse(array, [axis]), array)
                for array in (image, target, known)
            )
            if channels == 2:  # flow (u, v) changes its sign along the mirrored axis
                sign = tf.where(flips & (tf.range(2) == 1 - axis), -1.0, 1.0)
                target, limits = target * sign, limits * sign
    guide = tf.cast(image, tf.float32) / 255
    if args.color_jitter:
        saturation, gamma = (
            tf.random.stateless_uniform([], seed, *limits_of)
            for seed, limits_of in zip(random[4:6], (SATURATIONS, GAMMAS))
        )
        gains = tf.random.stateless_uniform([3], random[6], *GAINS)
        guide = change_colors(guide, saturation, gains, gamma)
    offset, scale = tf.reduce_min(limits), tf.reduce_max(limits) - tf.reduce_min(limits)
    # As in `offset_and_scale`, for a flat image.
    offset, scale = tf.where(scale == 0, offset - 0.5, offset), tf.where(scale == 0, 1.0, scale)
    target = (target - offset) / scale
    low = low_resolution(target, args.factor, low_res)
    return (low, guide), tf.where(known, target, np.float32(np.nan))


def steps_of_epochs(epochs, count, batch_size):
    """How many batches show every one of `count` images `epochs` times."""
    return max(1, math.ceil(epochs * count / batch_size))

"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import os

import numpy as np
import tensorflow as tf

from examples.joint_upsampling.augmentation import change_guide, change_target, uniform
from examples.joint_upsampling.low_resolution import fill_unknown, low_resolution
from examples.training.data import kept, load_examples, numbered, readable, seeds, with_options
from examples.training.errors import UserError
from keras_pac.models.upsample import KINDS

# How `--low-res any` makes low-res targets. LearnedBilateralUpsample is told the kind of half of
# the crops.
MIXTURE = ("center", "pillow", "area")
SHARES = 0.5, 0.8  # below the first "center", above the second "area"
# Added to the error of interpolation, so that crops without an edge do not decide.
LEAST_ERROR = 0.01


def open_dataset(args, split):
    """The `Examples` that `args` ask for, of `image`, `target` and `name`."""
    name, manual_dir = None, None
    options = {"images": "images", "targets": "targets", "unknown": "unknown"}
    options |= {"target_scale": "scale", "render_pass": "render_pass"}
    given = {option: getattr(args, option) for option in options}
    config = {options[o]: value for o, value in given.items() if value is not None}
    if args.render_pass and args.data != "mpi_sintel":
        raise UserError("--render-pass is for --data mpi_sintel")
    if args.data == "folder":
        if not (args.images and args.targets):
            raise UserError("--data folder needs --images DIR and --targets DIR")
        folders = [os.path.abspath(folder) for folder in (args.images, args.targets)]
        config["images"], config["targets"] = folders
        name, manual_dir = "image_folder_pairs", os.path.commonpath(folders)
    return load_examples(args, split, config, name, manual_dir)


def split_or_default(args):
    """The split that `args` ask for; the only one of `--data folder` is called `train`."""
    return args.split or ("train" if args.data == "folder" else args.default_split)


def channels_of(examples):
    """The channels of the target."""
    return examples.dataset.element_spec["target"].shape[2]


def low_res_or_default(how, channels):
    """The paper's ways: the centre of a cell for depth, antialiased bilinear for flow."""
    return ("bilinear" if channels == 2 else "center") if how in (None, "any") else how


def kind_of(how):
    """What `keras_pac.upsample` calls low-res targets that are made in a way of `LOW_RES`."""
    return {"center": "center", "last": "any"}.get(how, "average")


def arrays(examples):
    """Every example as NumPy arrays, with `name` as a str; stop at the first that does not fit."""
    for example in readable(examples.dataset):
        example["name"] = example["name"].decode()
        check(**example)
        yield example


def check(image, target, name):
    """Raise a UserError unless image and target have the same size and a pixel is known."""
    if image.shape[:2] != target.shape[:2]:
        sizes = " and ".join(f"{array.shape[0]}x{array.shape[1]}" for array in (image, target))
        raise UserError(
            f"{name}: image and target must have the same size. Received: {sizes} pixels"
        )
    if not np.isfinite(target).all(-1).any():
        raise UserError(f"{name}: every pixel of the target is unknown")


def batches(examples, args, first_step=0):
    """The batches of a run after `first_step`, endless, as `fit` takes them."""
    examples = kept(examples, prepared(examples, args))
    crops = numbered(examples, args.seed, first_step * args.batch_size).map(
        lambda number, example: crop(number, example, args), num_parallel_calls=tf.data.AUTOTUNE
    )
    return with_options(crops.batch(args.batch_size, drop_remainder=True))


def prepared(examples, args):
    """The examples as (image, target without unknown pixels, which were known, range)."""
    channels = channels_of(examples)

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
        low = low_resolution(whole, args.factor, low_res_or_default(args.low_res, channels))
        known = np.isfinite(target).all(-1, keepdims=True)
        return image, filled, known, np.stack([low.min((0, 1)), low.max((0, 1))])

    def mapped(example):
        inputs = [example[name] for name in ("image", "target", "name")]
        types = tf.uint8, tf.float32, tf.bool, tf.float32
        outputs = tf.numpy_function(prepare, inputs, types, stateful=False)
        shapes = (None, None, 3), (None, None, channels), (None, None, 1), (2, channels)
        return tuple(tf.ensure_shape(x, shape) for x, shape in zip(outputs, shapes))

    return examples.dataset.map(mapped, num_parallel_calls=tf.data.AUTOTUNE)


def crop(number, example, args):
    """The random crop that is the example `number` of a run."""
    *arrays, limits = example
    crop_seed, turn_seed, *flip_seeds, target_seed, guide_seed, low_seed = seeds(
        args.seed, number, 7
    )
    # With the same seed, all three are cropped at the same place.
    image, target, known = (
        tf.image.stateless_random_crop(x, (args.crop, args.crop, x.shape[2]), crop_seed)
        for x in arrays
    )
    if args.flips:
        for axis, seed in enumerate(flip_seeds):
            flips = tf.random.stateless_uniform([], seed) < 0.5
            image, target, known = (
                tf.where(flips, tf.reverse(x, [axis]), x) for x in (image, target, known)
            )
            if target.shape[2] == 2:  # flow (u, v) changes its sign along the mirrored axis
                sign = tf.where(flips & (tf.range(2) == 1 - axis), -1.0, 1.0)
                target, limits = target * sign, limits * sign
    guide, target = tf.cast(image, tf.float32) / 255, in_unit(target, limits)
    if args.augment:
        turns = tf.random.stateless_uniform([], turn_seed) < 0.5
        guide, target, known = (
            tf.where(turns, tf.transpose(x, (1, 0, 2)), x) for x in (guide, target, known)
        )
        guide, target = change_guide(guide, guide_seed), change_target(target, target_seed)
    return network_example(guide, target, known, low_seed, args)


def in_unit(target, limits):
    """The target, with the low-res range of each channel of the whole image brought to [0, 1]."""
    offset, scale = tf.reduce_min(limits, 0), tf.abs(limits[1] - limits[0])
    return (target - offset) / tf.where(scale == 0, 1.0, scale)  # as `keras_pac.upsample` does


def network_example(guide, target, known, seed, args):
    """What a network takes, what it should return, and the weight of the example.

    Pixels of the target are NaN where they are not `known`.
    """
    chance, told = uniform(seed, 2)
    if args.low_res == "any":
        which = tf.searchsorted(SHARES, [chance])[0]
        low = tf.switch_case(
            which, [lambda how=how: low_resolution(target, args.factor, how) for how in MIXTURE]
        )
        kind = tf.gather([KINDS[kind_of(how)] for how in MIXTURE], which)
    else:
        how = low_res_or_default(args.low_res, target.shape[2])
        low, kind = low_resolution(target, args.factor, how), KINDS[kind_of(how)]
    inputs = low, guide
    if args.network == "LearnedBilateralUpsample":
        inputs += (tf.where(told < 0.5, kind, 0.0)[None],)
    truth = tf.where(known, target, np.float32(np.nan))
    if args.loss != "relative":
        return inputs, truth
    interpolated = tf.image.resize(low, target.shape[:2])  # bilinear
    squares = tf.where(known, (interpolated - target) ** 2, 0.0)
    count = tf.reduce_sum(tf.cast(known, tf.float32)) * target.shape[2]
    error = tf.sqrt(tf.reduce_sum(squares) / tf.maximum(count, 1))
    return inputs, truth, 1 / (error + LEAST_ERROR)

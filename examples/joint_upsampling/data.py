"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import os

import numpy as np
import tensorflow as tf

from examples.joint_upsampling.low_resolution import fill_unknown, low_resolution
from examples.training.data import kept, load_examples, numbered, readable, seeds, with_options
from examples.training.errors import UserError

# Random colours are drawn uniformly from these, so that a network does not learn those of a few
# scenes.
SATURATIONS, GAINS, GAMMAS = (0.0, 1.5), (0.8, 1.2), (0.7, 1.4)


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
    return how or ("bilinear" if channels == 2 else "center")


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


def batches(examples, args, first_step=0):
    """The batches of a run after `first_step`, endless: ((low-res target, guide), target)."""
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
    crop_seed, *flip_seeds, color_seed = seeds(args.seed, number, 4)
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
    guide = tf.cast(image, tf.float32) / 255
    if args.color_jitter:
        guide = change_colors(guide, color_seed)
    return network_example(guide, target, known, limits, args)


def network_example(guide, target, known, limits, args):
    """What a network takes and should return: ((low-res target, guide), target).

    The low-res range of the whole image, `limits`, scales both targets to [0, 1]. Pixels of the
    full-size one are NaN where they are not `known`.
    """
    offset, scale = tf.reduce_min(limits), tf.reduce_max(limits) - tf.reduce_min(limits)
    # As in `offset_and_scale`, for a flat image.
    offset, scale = tf.where(scale == 0, offset - 0.5, offset), tf.where(scale == 0, 1.0, scale)
    target = (target - offset) / scale
    how = low_res_or_default(args.low_res, target.shape[2])
    low = low_resolution(target, args.factor, how)
    return (low, guide), tf.where(known, target, np.float32(np.nan))


def change_colors(guide, seed):
    """Random saturation, brightness of each channel, and contrast of a guide in [0, 1]."""
    saturation, gains, gamma = (
        tf.random.stateless_uniform(shape, one, *limits)
        for shape, one, limits in zip(
            ([], [3], []), tf.unstack(tf.random.split(seed, 3)), (SATURATIONS, GAINS, GAMMAS)
        )
    )
    grey = tf.reduce_mean(guide, -1, keepdims=True)
    return tf.clip_by_value((grey + saturation * (guide - grey)) * gains, 0, 1) ** gamma

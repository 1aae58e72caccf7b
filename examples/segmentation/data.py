"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import dataclasses

import numpy as np
import tensorflow as tf

from examples.files import IGNORED_LABEL
from examples.training.data import kept, load_examples, numbered, readable, seeds, with_options
from examples.training.errors import UserError


def open_dataset(args, split):
    """The `Examples` that `args` ask for, of `image`, `label` and `name`."""
    names = ("images", "labels", "ignore")
    config = {key: getattr(args, key) for key in names if getattr(args, key) is not None}
    examples = load_examples(args, split, config)
    if "label" not in examples.dataset.element_spec:
        raise UserError(f"The data set {args.data} has no labels: it is not for segmentation")
    return examples


def arrays(examples, classes):
    """Every example as NumPy arrays, with `name` as a str; stop at the first that does not fit."""
    for example in readable(examples.dataset):
        label, name = example["label"][..., 0], example["name"].decode()
        check(label, name, classes)
        yield {"image": example["image"], "label": label, "name": name}


def check(label, name, classes):
    """Raise a UserError unless every value is the number of a class or the ignored label."""
    wrong = np.unique(label[(label >= classes) & (label != IGNORED_LABEL)])
    if wrong.size:
        raise UserError(
            f"{name}: its label has the values {', '.join(map(str, wrong))}, but there are "
            f"{classes} classes, 0 to {classes - 1}, and {IGNORED_LABEL} for ignored pixels. "
            "Give --classes, or the number of ignored pixels as --ignore"
        )


def counts(example):
    """Whether a pixel of the example counts."""
    return bool((example["label"] != IGNORED_LABEL).any())


def check_counts(counted, split):
    """Raise a UserError unless one of the examples counts."""
    if not any(counted):
        raise UserError(f"The split {split} has no pixel that counts")


def check_validation(examples, split, classes):
    """Raise a UserError now for what is wrong with the examples, not at the end of a training."""
    check_counts([counts(example) for example in arrays(examples, classes)], split)


def prepared(examples, args, classes):
    """The examples as (image, label), checked where they are read; in memory if they are few."""

    def checked(label, name):
        check(label, name.decode(), classes)
        return label

    def mapped(example):
        inputs = example["label"][..., 0], example["name"]
        label = tf.numpy_function(checked, inputs, tf.uint8, stateful=False)
        label.set_shape((None, None))
        return {"image": example["image"], "label": label}

    dataset = examples.dataset.map(mapped, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = kept(dataset, examples.count, args.cache)
    check_counts(map(counts, readable(dataset)), args.split)  # stops at the first that counts
    return dataclasses.replace(examples, dataset=dataset)


def batches(examples, args, first_step):
    """The batches of a run after `first_step`, endless: (images, labels).

    Where an image is smaller than the crop, or than another of its batch, black pixels with the
    ignored label are added below it and on its right.
    """
    crops = numbered(examples.dataset, examples.count, args.seed, first_step * args.batch_size).map(
        lambda number, example: crop(number, example, args), num_parallel_calls=tf.data.AUTOTUNE
    )
    size = args.crop or None
    padded = crops.padded_batch(
        args.batch_size,
        padded_shapes=((size, size, 3), (size, size)),
        padding_values=(np.uint8(0), np.uint8(IGNORED_LABEL)),
        drop_remainder=True,
    )
    return with_options(padded)


def crop(number, example, args):
    """A random crop and mirror image, which the seed and the number in the run decide."""
    image, label = example["image"], example["label"]
    *corner_seeds, flip_seed = seeds(args.seed, number, 3)
    if args.crop:
        size = tf.shape(label)
        cropped = tf.minimum(size, args.crop)
        top, left = (
            tf.random.stateless_uniform([], seed, maxval=room + 1, dtype=tf.int32)
            for seed, room in zip(corner_seeds, tf.unstack(size - cropped))
        )
        rows, cols = tf.unstack(cropped)
        image, label = (x[top : top + rows, left : left + cols] for x in (image, label))
    if args.flips:
        flips = tf.random.stateless_uniform([], flip_seed) < 0.5
        image, label = (tf.where(flips, tf.reverse(x, [1]), x) for x in (image, label))
    return image, label

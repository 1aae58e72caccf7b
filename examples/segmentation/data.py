"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

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


def check_validation(examples, split, classes):
    """Raise a UserError now for what is wrong with the examples, not at the end of a training."""
    labels = (example["label"] for example in arrays(examples, classes))
    check_counts(labels, split)  # stops at the first pixel that counts
    for _ in labels:
        pass


def check_counts(labels, split):
    """Raise a UserError unless a pixel of the labels counts."""
    if not any((label != IGNORED_LABEL).any() for label in labels):
        raise UserError(f"The split {split} has no pixel that counts")


def prepared(examples, args, classes):
    """The examples as (image, label), checked where they are read; in memory if they are few."""

    def checked(label, name):
        check(label, name.decode(), classes)
        return label

    def mapped(example):
        inputs = example["label"][..., 0], example["name"]
        label = tf.numpy_function(checked, inputs, tf.uint8, stateful=False)
        return example["image"], tf.ensure_shape(label, (None, None))

    dataset = examples.dataset.map(mapped, num_parallel_calls=tf.data.AUTOTUNE)
    examples = kept(examples, dataset)
    check_counts((label for _, label in readable(dataset)), args.split)  # stops at the first
    return examples


def batches(examples, args, first_step=0):
    """The batches of a run after `first_step`, endless: (images, labels).

    Where an image is smaller than the crop, or than another of its batch, black pixels with the
    ignored label are added below it and on its right.
    """
    crops = numbered(examples, args.seed, first_step * args.batch_size).map(
        lambda number, example: crop(number, *example, args), num_parallel_calls=tf.data.AUTOTUNE
    )
    size = args.crop or None
    padded = crops.padded_batch(
        args.batch_size,
        padded_shapes=((size, size, 3), (size, size)),
        padding_values=(np.uint8(0), np.uint8(IGNORED_LABEL)),
        drop_remainder=True,
    )
    return with_options(padded)


def crop(number, image, label, args):
    """A random crop and mirror image, which the seed and the number in the run decide."""
    crop_seed, flip_seed = seeds(args.seed, number, 2)
    label = label[..., None]
    if args.crop:
        rows, cols = tf.unstack(tf.minimum(tf.shape(label)[:2], args.crop))
        # With the same seed, both are cropped at the same place.
        image, label = (
            tf.image.stateless_random_crop(x, (rows, cols, x.shape[2]), crop_seed)
            for x in (image, label)
        )
    if args.flips:
        image, label = (
            tf.image.stateless_random_flip_left_right(x, flip_seed) for x in (image, label)
        )
    return image, label[..., 0]

"""Makes training batches of a data set; a batch depends on the seed and its step alone."""

import dataclasses
import zlib

import numpy as np
import tensorflow as tf

from examples.files import IGNORED_LABEL
from examples.training.data import Order, load_dataset, readable, storage
from examples.training.errors import UserError


def open_dataset(args, split, classes):
    """The examples (dicts of NumPy arrays `image`, `label` and a `name`) that `args` ask for."""
    names = ("images", "labels", "ignore")
    config = {key: getattr(args, key) for key in names if getattr(args, key) is not None}
    dataset = load_dataset(args, split, config)
    if "label" not in dataset.element_spec:
        raise UserError(f"The data set {args.data} has no labels: it is not for segmentation")
    return checked(dataset.as_numpy_iterator(), classes)


def checked(examples, classes):
    """Pass on the examples, with `name` as a str; stop at the first that does not fit."""
    for example in readable(examples):
        label, name = example["label"][..., 0], example["name"].decode()
        wrong = np.unique(label[(label >= classes) & (label != IGNORED_LABEL)])
        if wrong.size:
            raise UserError(
                f"{name}: its label has the values {', '.join(map(str, wrong))}, but there are "
                f"{classes} classes, 0 to {classes - 1}, and {IGNORED_LABEL} for ignored pixels. "
                "Give --classes, or the number of ignored pixels as --ignore"
            )
        yield {"image": example["image"], "label": label, "name": name}


def check_split(examples, split):
    """Raise a UserError unless a pixel of the split counts; it will be read again later."""
    counted = sum(int((example["label"] != IGNORED_LABEL).sum()) for example in examples)
    if not counted:
        raise UserError(f"The split {split} has no pixel that counts")


@dataclasses.dataclass
class Images:
    """Decoded images, in memory or in a temporary file."""

    names: list
    images: list  # uint8, (rows, cols, 3)
    labels: list  # uint8, (rows, cols)
    checksum: int

    def __len__(self):
        return len(self.names)


def read_images(examples, in_file=False):
    """All the examples as `Images`."""
    keep = storage(in_file)
    images = Images([], [], [], 0)
    for example in examples:
        images.names.append(example["name"])
        for key, kept in (("image", images.images), ("label", images.labels)):
            images.checksum = zlib.crc32(np.ascontiguousarray(example[key]), images.checksum)
            kept.append(keep(example[key]))
    if not images.names:
        raise UserError("The data set has no examples")
    if all((label == IGNORED_LABEL).all() for label in images.labels):
        raise UserError("The data set has no pixel that counts: all labels are ignored")
    return images


class Sampler:
    """Random crops, or whole images with `crop` 0.

    Example i of the run is a function of the seed and i alone.
    """

    def __init__(self, images, crop, flips, seed):
        self.images, self.crop, self.flips = images, crop, flips
        self.order = Order(len(images), seed)

    def __call__(self, index):
        """(image, label) of the example `index` of the run, at most as large as the crop."""
        i, random = self.order(index)
        image, label = self.images.images[i], self.images.labels[i]
        if self.crop:
            top, left = (int(random.integers(max(n - self.crop, 0) + 1)) for n in label.shape)
            region = np.s_[top : top + self.crop, left : left + self.crop]
            image, label = image[region], label[region]
        if self.flips and random.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(label)


def batches(sampler, batch_size, first_step, steps):
    """A `tf.data.Dataset` of (images, labels) of the steps from `first_step` on.

    Where an image is smaller than the crop, or than another of its batch, black pixels with the
    ignored label are added below it and on its right.
    """
    size = sampler.crop or None

    def example(number):
        image, label = tf.numpy_function(sampler, [number], [tf.uint8] * 2, stateful=False)
        image.set_shape((None, None, 3))
        label.set_shape((None, None))
        return image, label

    options = tf.data.Options()
    options.deterministic = True
    numbers = tf.data.Dataset.range(first_step * batch_size, steps * batch_size)
    examples = numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    padding = np.uint8(0), np.uint8(IGNORED_LABEL)
    dataset = examples.padded_batch(
        batch_size, ((size, size, 3), (size, size)), padding, drop_remainder=True
    )
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

"""How a training program reads a data set, keeps its images, and goes through them."""

import functools
import tempfile

import numpy as np
import tensorflow as tf

from examples.training.errors import UserError, explained


def load_dataset(args, split, config, name=None, manual_dir=None):
    """The split of the data set that `args` name, as `examples.datasets.load` returns it.

    `name` and `manual_dir` stand for `--data` and `--manual-dir` where these mean something else.
    """
    from examples import datasets  # imports tensorflow_datasets, which takes seconds

    manual_dir = manual_dir or args.manual_dir
    with explained(f"The data set {args.data} cannot be read: ", OSError, ValueError):
        return datasets.load(name or args.data, split, args.data_dir, manual_dir, **config)


def readable(examples):
    """Pass on the examples; a UserError if the prepared files turn out to be damaged."""
    try:
        yield from examples
    except tf.errors.OpError as error:
        raise UserError(f"The prepared data set cannot be read: {error.message}") from error


def storage(in_file):
    """A function that takes an array and returns it, kept in memory or in a temporary file.

    The system holds as much of the file in memory as there is room for.
    """
    if not in_file:
        return lambda array: array
    file = tempfile.TemporaryFile()  # has no name, so nothing is left when the process ends

    def keep(array):
        start = file.seek(0, 2)
        file.write(np.ascontiguousarray(array))
        file.flush()
        return np.memmap(file, array.dtype, "r", start, array.shape)

    return keep


class Order:
    """Which image comes when, and with which random numbers: a function of the seed alone.

    So a run that goes on at step t needs no stored state of a random stream, and several workers
    share the examples of a step without talking to each other.
    """

    def __init__(self, images, seed):
        self.images, self.seed = images, seed
        self.epoch = functools.lru_cache(4)(self._epoch)

    def _epoch(self, number):
        """The images of an epoch, every one once."""
        return np.random.default_rng([self.seed, number]).permutation(self.images)

    def __call__(self, index):
        """(image, random generator) of the example `index` of the run."""
        epoch, position = divmod(int(index), self.images)
        return self.epoch(epoch)[position], np.random.default_rng([self.seed, epoch, position])

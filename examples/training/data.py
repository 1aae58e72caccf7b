"""How a training program reads a data set and goes through it, as `tf.data` pipelines."""

import contextlib
import dataclasses
import re

import tensorflow as tf

from examples.training.errors import UserError, explained

# Decoded images that take no more than this are kept in memory.
CACHE_BYTES = 2**30
# So many bytes of images wait to be drawn from; a small data set is shuffled as a whole.
SHUFFLE_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split of a data set.

    Args:
        dataset: a `tf.data.Dataset` of dictionaries, in the same order every time.
        count: how many examples it has.
        fingerprint: str that differs where the images differ.
    """

    dataset: tf.data.Dataset
    count: int
    fingerprint: str

    @property
    def channels(self):
        """The channels of the target."""
        return self.dataset.element_spec["target"].shape[2]


def load_examples(args, split, config, name=None, manual_dir=None):
    """The split of the data set that `args` name, as `Examples`.

    `name` and `manual_dir` stand for `--data` and `--manual-dir` where these mean something else.
    """
    from examples import datasets  # imports tensorflow_datasets, which takes seconds

    manual_dir = manual_dir or args.manual_dir
    with explained(f"The data set {args.data} cannot be read: ", OSError, ValueError):
        builder = datasets.prepare(name or args.data, args.data_dir, manual_dir, **config)
        dataset = builder.as_dataset(split=split, shuffle_files=False)
        count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"The split {split} has no examples")
    return Examples(dataset, count, f"{builder.info.full_name} {split}")


def readable(dataset):
    """The examples as NumPy arrays; a UserError if the prepared files turn out to be damaged."""
    with pipeline_errors():
        yield from dataset.as_numpy_iterator()


@contextlib.contextmanager
def pipeline_errors():
    """Turn an error of a `tf.data` pipeline into a UserError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # no memory is left, often that of a GPU
        raise
    except tf.errors.OpError as error:
        if raised := re.search(r"UserError: (.*)", error.message):
            raise UserError(raised[1]) from error
        raise UserError(f"The prepared data set cannot be read: {error.message}") from error


def kept(dataset, count, cache):
    """The data set, its decoded examples kept in memory: always, never, or where they are few.

    What is kept is read once here, so that a wrong example shows before a training starts.
    """
    if cache is None:
        cache = "memory" if count * bytes_of_first(dataset) <= CACHE_BYTES else "none"
    if cache == "none":
        return dataset
    dataset = dataset.cache()
    with pipeline_errors():
        for _ in dataset:
            pass
    return dataset


def bytes_of_first(dataset):
    with pipeline_errors():
        first = next(iter(dataset.take(1)))
    return sum(len(x.numpy()) if x.dtype == tf.string else x.numpy().nbytes for x in first.values())


def numbered(dataset, count, seed, first):
    """Pairs (number, example) without an end, from the number `first` of a run on.

    Every epoch shows each example once, in an order that the seed and the epoch decide. So a run
    that goes on needs no stored state.
    """
    waiting = min(count, max(16, SHUFFLE_BYTES // bytes_of_first(dataset)))

    def epoch(number):
        tf.random.set_seed(1)  # of this graph alone; with 0 TensorFlow takes no tensor as a seed
        shuffle_seed = seed * 1_000_003 + number
        return dataset.shuffle(waiting, seed=shuffle_seed, reshuffle_each_iteration=False)

    epochs = tf.data.Dataset.range(first // count, tf.int64.max).flat_map(epoch)
    return epochs.skip(first % count).enumerate(first)


def seeds(seed, number, count):
    """`count` seeds of stateless random operations for the example `number` of a run."""
    return tf.unstack(tf.random.split(tf.stack([tf.cast(seed, tf.int64), number]), count))


def with_options(batches):
    """The same batches in every run, fetched ahead; several workers share each of them."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

"""How a training program reads a data set and goes through it, as `tf.data` pipelines."""

import contextlib
import dataclasses
import re

import tensorflow as tf
import tensorflow_datasets as tfds

from examples import datasets
from examples.training.errors import UserError, explained

# Decoded images that take no more than this are kept in memory.
CACHE_BYTES = 2**30
# Of others, so many bytes wait to be drawn from. More would take longer to read before each epoch;
# tfds has shuffled the examples once anyway.
SHUFFLE_BYTES = 2**26


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split of a data set.

    Args:
        dataset: a `tf.data.Dataset` of dictionaries, in the same order every time.
        count: how many examples it has.
        fingerprint: str that differs where the images differ.
        waiting: how many examples wait to be drawn from, in a random order.
    """

    dataset: tf.data.Dataset
    count: int
    fingerprint: str
    waiting: int = 16


def load_examples(args, split, config, name=None, manual_dir=None):
    """The split of the data set that `args` name, as `Examples`.

    `name` and `manual_dir` stand for `--data` and `--manual-dir` where these mean something else.
    """
    manual_dir = manual_dir or args.manual_dir
    with explained(f"The data set {args.data} cannot be read: ", OSError, ValueError):
        builder = datasets.prepare(name or args.data, args.data_dir, manual_dir, **config)
        # `kept` decides what stays in memory. By default tfds reads ahead: 16 examples in each of
        # 16 files, and decoded ones behind that, more the larger the data set is.
        reading = tfds.ReadConfig(
            try_autocache=False,
            interleave_cycle_length=1,
            interleave_block_length=1,
            skip_prefetch=True,
        )
        dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=reading)
        count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"The split {split} has no examples")
    return Examples(dataset, count, datasets.fingerprint(builder, split))


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
        # In an error of `fit`, the stack of the graph stands before what happened.
        happened = error.message.partition("[[{{node")[0].strip().split("\n\n")[-1]
        happened = re.sub(r"{{.*?}} *| *\[Op:.*", "", happened)
        if "IteratorGetNext" not in error.message:
            raise UserError(f"TensorFlow failed: {happened}") from error
        raise UserError(
            f"The prepared data set cannot be read: {happened}. Without its folder in --data-dir "
            "it is prepared anew"
        ) from error


def kept(examples, dataset):
    """The examples, with `dataset` in place of theirs, decoded and kept in memory if it is small.

    It is read once here then, so that a wrong example shows before a training starts.
    """
    first = [sum(a.nbytes for a in tf.nest.flatten(e)) for e in readable(dataset.take(8))]
    bytes_of_one = sum(first) / len(first)
    if examples.count * bytes_of_one > CACHE_BYTES:
        waiting = max(16, int(SHUFFLE_BYTES / bytes_of_one))
    else:
        dataset, waiting = dataset.cache(), examples.count
        for _ in readable(dataset):
            pass
    return dataclasses.replace(examples, dataset=dataset, waiting=waiting)


def numbered(examples, seed, first):
    """Pairs (number, example) without an end, from the number `first` of a run on.

    Every epoch shows each example once, in an order that the seed and the epoch decide. So a run
    that goes on needs no stored state.
    """

    def epoch(number):
        tf.random.set_seed(1)  # of this graph alone; with 0 TensorFlow takes no tensor as a seed
        shuffle_seed = seed * 1_000_003 + number
        return examples.dataset.shuffle(
            examples.waiting, seed=shuffle_seed, reshuffle_each_iteration=False
        )

    epochs = tf.data.Dataset.range(first // examples.count, tf.int64.max).flat_map(epoch)
    return epochs.skip(first % examples.count).enumerate(first)


def seeds(seed, number, count):
    """`count` seeds of stateless random operations for the example `number` of a run."""
    return tf.unstack(tf.random.split(tf.stack([tf.cast(seed, tf.int64), number]), count))


def with_options(batches):
    """The same batches in every run, fetched ahead; several workers share each of them."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

"""Turns the drawn scenes into what `fit` takes: ((low-res target, guide), target)."""

import tensorflow as tf

from examples.upsampling.colors import GAINS, GAMMAS, SATURATIONS, change_colors
from examples.upsampling.low_resolution import sample_centers

CROP = 64  # small crops give more steps, and so a better network, in the same time


def training_batches(scenes, factor, batch_size, seed):
    """An endless stream of crops, mirrored at random and with other colours every time."""
    options = tf.data.Options()
    options.deterministic = True
    randoms = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)

    def example(scene, random_seed):
        guide, target = _random_crop(*_normalise(scene, factor), random_seed)
        return (sample_centers(target, factor), _jitter_colors(guide, random_seed)), target

    scenes = scenes.cache().shuffle(1000, seed=seed).repeat()
    examples = tf.data.Dataset.zip(scenes, randoms).map(example, num_parallel_calls=2)
    return examples.batch(batch_size).prefetch(2).with_options(options)


def whole_scenes(scenes, factor, batch_size):
    """The scenes as they are, for validation."""

    def example(scene):
        guide, target = _normalise(scene, factor)
        return (sample_centers(target, factor), guide), target

    return scenes.map(example).batch(batch_size).cache()


def _normalise(scene, factor):
    """Guide and target in [0, 1]; the target by the range of its low-res image."""
    low = sample_centers(scene["target"], factor)
    lowest, highest = tf.reduce_min(low), tf.reduce_max(low)
    guide = tf.cast(scene["image"], tf.float32) / 255
    return guide, (scene["target"] - lowest) / (highest - lowest)


def _random_crop(guide, target, seed):
    both = tf.concat([guide, target], -1)
    both = tf.image.stateless_random_crop(both, [CROP, CROP, 4], seed)
    both = tf.image.stateless_random_flip_left_right(both, seed)
    return both[..., :3], both[..., 3:]


def _jitter_colors(guide, seed):
    gains = tf.random.stateless_uniform([3], seed, *GAINS)
    gamma = tf.random.stateless_uniform([], seed + 1, *GAMMAS)
    saturation = tf.random.stateless_uniform([], seed + 2, *SATURATIONS)
    return change_colors(guide, saturation, gains, gamma)

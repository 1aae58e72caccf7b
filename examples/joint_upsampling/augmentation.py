"""Random changes that make drawn scenes as varied as photographs and measured depth.

Guides are (rows, cols, 3) in [0, 1]; targets are (rows, cols, 1), their low-res range in [0, 1].
`seed` is one of `examples.training.data.seeds`. Drawn scenes have sharp edges, one camera and few
colours: a network that has seen only these fails on real pictures.
"""

import tensorflow as tf

# Colours are drawn uniformly from these, so that a network does not learn those of a few scenes.
SATURATIONS, GAINS, GAMMAS = (0.0, 1.5), (0.8, 1.2), (0.7, 1.4)
BLURS, NOISES = (0.3, 1.2), (0.0, 0.04)  # of guides: deviations, in pixels and colours
QUALITIES = (40.0, 95.0)  # of guides in JPEG files
SOFT_EDGES = (0.2, 2.0)  # of targets: deviation in pixels
NEAREST = (0.1, 1.0)  # the smallest depth, where a target is inverted, of a range of 1


def change_target(target, seed):
    """Inverted (depth instead of disparity), or with soft edges, or both, or as it is."""
    invert, nearest, soften, width = uniform(seed, 4)
    target = tf.cond(
        invert < 0.5, lambda: inverted(target, between(NEAREST, nearest)), lambda: target
    )
    return tf.cond(soften < 0.5, lambda: blur(target, between(SOFT_EDGES, width)), lambda: target)


def inverted(target, nearest):
    """1 / depth for a depth from `nearest` to `nearest` + 1, brought to [0, 1] again."""
    least, most = 1 / (nearest + 1), 1 / nearest
    return (1 / (target + nearest) - least) / (most - least)


def change_guide(guide, seed):
    """With other colours, out of focus, moved by a pixel, noisy, from a JPEG: each at random."""
    which, colors, noise = tf.unstack(tf.random.split(seed, 3))
    guide = change_colors(guide, colors)
    soften, width, move, row, col, level, coded, quality = uniform(which, 8)
    guide = tf.cond(soften < 0.5, lambda: blur(guide, between(BLURS, width)), lambda: guide)
    shift = tf.cast(tf.floor(3 * tf.stack([row, col])), tf.int32) - 1
    guide = tf.cond(move < 0.3, lambda: tf.roll(guide, shift, (0, 1)), lambda: guide)
    noise = tf.random.stateless_normal(tf.shape(guide), noise)
    guide = tf.clip_by_value(guide + between(NOISES, level) * noise, 0, 1)
    return tf.cond(coded < 0.5, lambda: as_jpeg(guide, between(QUALITIES, quality)), lambda: guide)


def as_jpeg(guide, quality):
    """What is left of a guide in a JPEG file."""
    return tf.ensure_shape(
        tf.image.adjust_jpeg_quality(guide, tf.cast(quality, tf.int32)), guide.shape
    )


def change_colors(guide, seed):
    """Random saturation, brightness of each channel, and contrast of a guide in [0, 1]."""
    saturation, red, green, blue, gamma = uniform(seed, 5)
    gains = between(GAINS, tf.stack([red, green, blue]))
    grey = tf.reduce_mean(guide, -1, keepdims=True)
    changed = (grey + between(SATURATIONS, saturation) * (guide - grey)) * gains
    return tf.clip_by_value(changed, 0, 1) ** between(GAMMAS, gamma)


def blur(image, deviation):
    """A Gaussian blur; the border is not darkened."""

    def weights(size):
        distance = tf.range(size, dtype=tf.float32)
        weights = tf.exp(-0.5 * ((distance[:, None] - distance) / deviation) ** 2)
        return weights / tf.reduce_sum(weights, 1, keepdims=True)

    rows, cols = (weights(size) for size in image.shape[:2])
    return tf.einsum("ri,ijc,sj->rsc", rows, image, cols)


def uniform(seed, count):
    return tf.unstack(tf.random.stateless_uniform([count], seed))


def between(limits, share):
    return limits[0] + (limits[1] - limits[0]) * share

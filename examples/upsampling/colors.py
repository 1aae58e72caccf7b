"""Random colours of the guide, so that a network does not learn those of a few scenes."""

import numpy as np
import tensorflow as tf

# What to draw the arguments of `change_colors` from, uniformly.
SATURATIONS, GAINS, GAMMAS = (0.0, 1.5), (0.8, 1.2), (0.7, 1.4)


def change_colors(guide, saturation, gains, gamma):
    """Change the saturation, the brightness of each channel, and the contrast.

    The guide is in [0, 1]: a NumPy array, or a tensor in a `tf.data` pipeline.
    """
    if isinstance(guide, np.ndarray):
        mean, clip = np.mean, np.clip
    else:
        mean, clip = tf.reduce_mean, tf.clip_by_value
    grey = mean(guide, -1, keepdims=True)
    return clip((grey + saturation * (guide - grey)) * gains, 0, 1) ** gamma

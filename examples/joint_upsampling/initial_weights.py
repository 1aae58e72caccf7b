"""Initial weights for short trainings: the network interpolates, guided a little by colour.

With random weights alone all guide features are alike, so the adapting kernel is 1 everywhere and
hardly any gradient reaches the guide. Minutes of training then end in plain interpolation, with the
guide switched off. The paper's networks train for days; this one has a few thousand steps.
"""

import keras
import numpy as np

RANDOM_SHARE = 0.3  # this share of the random weights is kept, so that filters differ
GUIDE_SCALE = 3.0  # makes the kernel fall to about 0.3 across the strongest colour edges
IDENTITY = np.outer([0, 0, 1, 0, 0], [0, 0, 1, 0, 0])
BILINEAR = np.outer([0, 0.5, 1, 0.5, 0], [0, 0.5, 1, 0.5, 0])


def start_as_interpolation(network):
    """Set the weights of a joint upsampling network so that every layer passes on what it gets.

    Even channels carry the target v, odd ones 1 - v, and the output is made of their difference:
    across an edge of the guide both get smaller, as the adapting kernel does.
    """
    for layer in [*network.branch_t, *network.branch_g, *network.branch_f[:-1]]:
        _set_filter(layer, IDENTITY)
    for layer in network.up_convts:
        _set_filter(layer, BILINEAR, transposed=True)

    first, last, guide = network.branch_t[0], network.branch_f[-1], network.branch_g[-1]
    first.kernel.assign(first.kernel * _signs(first.filters))
    first.bias.assign((1 - _signs(first.filters)) / 2)
    inputs = last.kernel.shape[2]
    mean_difference = IDENTITY[:, :, None, None] * _signs(inputs)[:, None] / inputs
    last.kernel.assign(RANDOM_SHARE * last.kernel + mean_difference)
    last.bias.assign([0.5])
    guide.kernel.assign(GUIDE_SCALE * guide.kernel)


def _set_filter(layer, window, transposed=False):
    """Every output channel starts as one input channel seen through the window."""
    filter = RANDOM_SHARE * keras.ops.convert_to_numpy(layer.kernel)
    by_output = np.moveaxis(filter, 2, 3) if transposed else filter
    for output in range(by_output.shape[3]):
        by_output[:, :, output % by_output.shape[2], output] += window
    layer.kernel.assign(filter)


def _signs(channels):
    return 1.0 - 2.0 * (np.arange(channels) % 2)

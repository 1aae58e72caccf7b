"""The definition, as short as it can be: all windows at once with `tf.image.extract_patches`."""

import tensorflow as tf

from keras_pac.ops._geometry.images import crop, span


def phase_sum(x, adapting, filter, taps):
    """sum_t K_t W_t x_t; the arguments are those of `taps.phase_sum`."""
    windows = _windows(x, taps) * adapting
    if filter is None:
        return tf.reduce_sum(windows, axis=3)
    return tf.tensordot(windows, filter, 2)


def squared_differences(guide, center, taps, asymmetric, channel_wise):
    """sum_c (guide_t - center)^2; the arguments are those of `taps.squared_differences`."""
    windows = _windows(guide, taps)
    center = windows[:, :, :, taps.count // 2] if center is None else center
    differences = windows - center[:, :, :, None]
    if asymmetric:
        differences = tf.nn.relu(differences)
    squares = tf.square(differences)
    return squares if channel_wise else tf.reduce_sum(squares, axis=-1, keepdims=True)


def _windows(image, taps):
    """(B, M, N, T, C)."""
    rows, columns = taps.row_offsets, taps.column_offsets
    image = crop(
        image, span(rows, taps.steps[0], taps.grid[0]), span(columns, taps.steps[1], taps.grid[1])
    )
    windows = tf.image.extract_patches(
        image,
        sizes=[1, len(rows), len(columns), 1],
        strides=[1, *taps.steps, 1],
        rates=[1, _spacing(rows), _spacing(columns), 1],
        padding="VALID",
    )
    return tf.reshape(windows, (tf.shape(image)[0], *taps.grid, taps.count, image.shape[-1]))


def _spacing(offsets):
    return offsets[1] - offsets[0] if len(offsets) > 1 else 1

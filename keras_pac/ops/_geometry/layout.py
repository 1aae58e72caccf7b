"""Conversion between the user's layout and channels_last, in which everything is computed."""

from keras import ops


def image_last(image, data_format):
    return ops.transpose(image, (0, 2, 3, 1)) if data_format == "channels_first" else image


def image_to(image, data_format):
    return ops.transpose(image, (0, 3, 1, 2)) if data_format == "channels_first" else image


def with_channels(adapting, channel_wise):
    """K, channels last, with an axis of channels: a new one unless it is channel-wise."""
    # An index of `None` would be an operation that LiteRT has not for five dimensions.
    return adapting if channel_wise else ops.expand_dims(adapting, -1)


def adapting_last(adapting, data_format):
    """(B, T, [C,] OH, OW) as (B, OH, OW, T[, C])."""
    if data_format == "channels_last":
        return adapting
    return ops.transpose(adapting, (0, 2, 3, 1) if len(adapting.shape) == 4 else (0, 3, 4, 1, 2))


def adapting_to(adapting, data_format):
    """(B, OH, OW, T[, C]) as (B, T, [C,] OH, OW)."""
    if data_format == "channels_last":
        return adapting
    return ops.transpose(adapting, (0, 3, 1, 2) if len(adapting.shape) == 4 else (0, 3, 4, 1, 2))


def shape_last(shape, data_format):
    """The channels_last shape of an image of `shape`."""
    shape = tuple(shape)
    return (shape[0], *shape[2:], shape[1]) if data_format == "channels_first" else shape


def shape_to(shape, data_format):
    return (shape[0], shape[3], *shape[1:3]) if data_format == "channels_first" else tuple(shape)


def mirrored(filter):
    """The filter (kh, kw, Cout, Cin) of a transposed convolution as that of its windowed sum.

    Its taps are taken in the opposite order: not every exporter knows how to reverse an axis.
    """
    rows, cols, *channels = filter.shape
    taps = ops.reshape(filter, (rows * cols, *channels))
    opposite = ops.take(taps, tuple(range(rows * cols))[::-1], axis=0)
    return ops.transpose(ops.reshape(opposite, filter.shape), (0, 1, 3, 2))

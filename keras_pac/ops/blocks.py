"""Windows of an image, gathered a block of rows at a time to bound the memory they take."""

import math

import keras
from keras import ops

# Bytes of gathered windows in one block. Smaller blocks lose more time in starting operations
# than their cache hits win (measured on 2 cores with 2 MiB of L2 cache each).
BLOCK_BYTES = 8 * 2**20
# A bound on the size of a graph.
MAX_BLOCKS = 32
# The least number of blocks for an image whose size is not known before the graph runs.
UNKNOWN_SIZE_BLOCKS = 8


def by_rows(block, taps, channels, *images):
    """Apply `block(start, stop, *images)` to one block of output rows after another.

    Args:
        block: function of the first and the last row (excluded) and the images; returns a tuple.
        taps: `window.Taps`, for the outputs' grid and how many pixels each gathers.
        channels: of the gathered images.
        *images: tensors (B, ...).

    Returns:
        For each tensor that `block` returns, the tuple of those of all blocks.
    """
    rows, columns = taps.grid
    sizes = (images[0].shape[0], rows, columns)
    known = [size for size in sizes if isinstance(size, int)]
    window_bytes = math.prod(known) * taps.count * channels * 4
    count = min(MAX_BLOCKS, max(1, -(-window_bytes // BLOCK_BYTES)))
    if len(known) < len(sizes):
        count = max(count, UNKNOWN_SIZE_BLOCKS)
    if isinstance(rows, int):
        height = -(-rows // min(count, rows))
        bounds = [*range(0, rows, height), rows]
    else:
        bounds = [rows * i // count for i in range(count + 1)]
    results = []
    for start, stop in zip(bounds, bounds[1:]):
        results.append(block(start, stop, *_after(results, images)))
    return list(zip(*results))


def _after(results, images):
    """Hold `images` back until the last block is done.

    TensorFlow's executor would otherwise start all blocks at once and keep all their windows.
    """
    if not results or keras.backend.backend() != "tensorflow":
        return images
    import tensorflow as tf

    with tf.control_dependencies(results[-1]):
        return [tf.identity(image) for image in images]


class Gather:
    """Reads the windows of `taps` from padded images of one width."""

    def __init__(self, taps, width):
        self.taps = taps
        self.width = width
        self._pixels_of = {}

    def windows(self, image, start, stop):
        """The windows of output rows start to stop of (B, H, W, C): (B, pixels, T, C)."""
        return ops.take(flat(self._rows(image, start, stop)), self._pixels(stop - start), axis=1)

    def entries(self, image, entries, start, stop):
        """From (B, H, W, D, C), for tap t the entry `entries[t]` of D: (B, pixels, T, C)."""
        rows = self._rows(image, start, stop)
        batch, height, width, depth, channels = ops.shape(rows)
        rows = ops.reshape(rows, (batch, height * width * depth, channels))
        indices = self._pixels(stop - start) * depth + _integers(entries)
        return ops.take(rows, indices, axis=1)

    def _rows(self, image, start, stop):
        """The rows of the image that output rows start to stop read."""
        step, offsets = self.taps.steps[0], self.taps.row_offsets
        return image[:, step * start + min(offsets) : step * (stop - 1) + max(offsets) + 1]

    def _pixels(self, count):
        """Where the taps of `count` rows of outputs lie in the rows they read: (pixels, T)."""
        if isinstance(count, int) and count in self._pixels_of:
            return self._pixels_of[count]
        (row_step, column_step), columns = self.taps.steps, self.taps.grid[1]
        first = min(self.taps.row_offsets)
        rows = _positions(count, row_step, [row - first for row in self.taps.row_offsets])
        columns = _positions(columns, column_step, self.taps.column_offsets)
        pixels = rows[:, None, :, None] * self.width + columns[None, :, None, :]
        pixels = ops.reshape(pixels, (-1, self.taps.count))
        if isinstance(count, int):
            self._pixels_of[count] = pixels
        return pixels


def _positions(count, step, offsets):
    """step * output + offset: (count, len(offsets))."""
    return ops.arange(count, dtype="int32")[:, None] * step + _integers(offsets)


def _integers(values):
    return ops.convert_to_tensor(list(values), "int32")


def flat(image):
    """(B, M, N, ...) as (B, M * N, ...)."""
    batch, m, n, *rest = ops.shape(image)
    return ops.reshape(image, (batch, m * n, *rest))


def to_image(blocks, grid):
    """Blocks of rows [(B, pixels, ...)] as (B, M, N, ...)."""
    pixels = ops.concatenate(blocks, axis=1)
    batch, _, *rest = ops.shape(pixels)
    return ops.reshape(pixels, (batch, *grid, *rest))

"""Windows of an image, gathered a block of rows at a time to bound the memory they take."""

import dataclasses
import math

import keras
from keras import ops

# Bytes of gathered windows in one block. Smaller blocks lose more time in starting operations
# than their cache hits win (measured on 2 cores with 2 MiB of L2 cache each).
BLOCK_BYTES = 8 * 2**20
# A bound on the size of a graph.
MAX_BLOCKS = 32
# How many times an image of unknown size the windows of one block may take.
UNKNOWN_SIZE_TAPS = 8


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` (excluded) of the outputs, all columns, all images of the batch."""

    start: object
    stop: object
    batch: object
    columns: object
    pixels: object  # rows times columns

    def of(self, image):
        """The block of an image on the outputs' grid (B, M, N, ...): (B, pixels, ...)."""
        return self.flat(image[:, self.start : self.stop])

    def flat(self, image):
        """(B, rows, columns, ...) as (B, pixels, ...)."""
        return ops.reshape(image, (self.batch, self.pixels, *image.shape[3:]))


def by_rows(function, taps, channels, *images):
    """Apply `function(block, *images)` to one block of output rows after another.

    Args:
        function: of a `Block` and the images; returns a tuple of tensors.
        taps: `window.Taps`, for the outputs' grid and how many pixels each gathers.
        channels: of the gathered images.
        *images: tensors (B, ...).

    Returns:
        For each tensor that the function returns, the tuple of those of all blocks.
    """
    rows, columns = taps.grid
    batch = ops.shape(images[0])[0]
    known = [size for size in (batch, rows, columns) if isinstance(size, int)]
    window_bytes = math.prod(known) * taps.count * channels * 4
    count = min(MAX_BLOCKS, max(1, -(-window_bytes // BLOCK_BYTES)))
    if len(known) < 3 and channels > 1:
        count = max(count, -(-taps.count // UNKNOWN_SIZE_TAPS))
    if isinstance(rows, int):
        height = -(-rows // min(count, rows))
        bounds = [*range(0, rows, height), rows]
    else:
        bounds = [rows * i // count for i in range(count + 1)]
    results = []
    for start, stop in zip(bounds, bounds[1:]):
        block = Block(start, stop, batch, columns, (stop - start) * columns)
        results.append(function(block, *_after(results, images)))
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
        self._pixels = None

    def windows(self, image, block):
        """What the taps of a block of outputs read from (B, H, W, C): (B, pixels, T, C)."""
        return ops.take(self._read(image, block, 1), self._indices(block), axis=1)

    def entries(self, image, entries, block):
        """From (B, H, W, D, C), for tap t the entry `entries[t]` of D: (B, pixels, T, C)."""
        depth = image.shape[3]
        indices = self._indices(block) * depth + _integers(entries)
        return ops.take(self._read(image, block, depth), indices, axis=1)

    def _read(self, image, block, depth):
        """The rows of the image that a block reads: (B, H * W * depth, C)."""
        step, offsets = self.taps.steps[0], self.taps.row_offsets
        rows = step * (block.stop - block.start - 1) + max(offsets) - min(offsets) + 1
        first = step * block.start + min(offsets)
        image = image[:, first : first + rows]
        return ops.reshape(image, (block.batch, rows * self.width * depth, image.shape[-1]))

    def _indices(self, block):
        """Where the taps of a block lie in the rows it reads: (pixels, T)."""
        if self._pixels is None:
            # They are the same for every block, relative to its first row.
            rows, columns = self.taps.grid
            rows = block.stop - block.start if isinstance(rows, int) else rows
            first = min(self.taps.row_offsets)
            row_offsets = [offset - first for offset in self.taps.row_offsets]
            y = _positions(rows, self.taps.steps[0], row_offsets) * self.width
            x = _positions(columns, self.taps.steps[1], self.taps.column_offsets)
            self._pixels = ops.reshape(
                y[:, None, :, None] + x[None, :, None, :], (-1, self.taps.count)
            )
        if isinstance(block.pixels, int) and block.pixels == self._pixels.shape[0]:
            return self._pixels
        return self._pixels[: block.pixels]


def _positions(count, step, offsets):
    """step * output + offset: (count, len(offsets))."""
    return ops.arange(count, dtype="int32")[:, None] * step + _integers(offsets)


def _integers(values):
    return ops.convert_to_tensor(list(values), "int32")


def to_image(blocks, grid):
    """Blocks of rows [(B, pixels, ...)] as (B, M, N, ...)."""
    pixels = ops.concatenate(blocks, axis=1)
    batch, _, *rest = ops.shape(pixels)
    return ops.reshape(pixels, (batch, *grid, *rest))

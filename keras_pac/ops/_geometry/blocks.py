"""Windows of an image, gathered a block of rows at a time to bound the memory they take."""

import dataclasses
import math

import keras
from keras import ops

from keras_pac.ops._geometry.images import crop, span

# The gathered windows of one block take as many bytes as the image, within these bounds. A training
# step holds two blocks. With smaller blocks, starting the operations takes more time than cache
# hits save (measured on 2 cores).
MIN_BLOCK_BYTES = 4 * 2**20
MAX_BLOCK_BYTES = 8 * 2**20
# A bound on the size of a graph.
MAX_BLOCKS = 32
# The windows of one block take at most this many times the memory of an image of unknown size.
UNKNOWN_SIZE_TAPS = 8


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` (excluded) of the outputs, all columns, all images of the batch."""

    start: object
    stop: object
    batch: object  # -1 where it is the only unknown size
    pixels: object  # rows times columns

    def of(self, image):
        """The block's part (B, pixels, ...) of an image (B, M, N, ...) on the outputs' grid."""
        return self.flat(image[:, self.start : self.stop])

    def flat(self, image):
        """(B, rows, columns, ...) as (B, pixels, ...)."""
        return ops.reshape(image, (self.batch, self.pixels, *image.shape[3:]))


def by_rows(function, taps, channels, *images):
    """Apply `function(block, *images)` to one block of output rows after another.

    Args:
        function: takes a `Block` and the images; returns a tuple of tensors.
        taps: `window.Taps`: the outputs' grid, and how many pixels each output gathers.
        channels: number of channels of the gathered images.
        *images: tensors (B, ...).

    Returns:
        A list: for each tensor that the function returns, a tuple with its value for every block.
    """
    rows, columns = taps.grid
    batch = _batch(images[0], taps.grid)
    known = [size for size in (images[0].shape[0], rows, columns) if isinstance(size, int)]
    image_bytes = math.prod(known) * channels * 4
    block_bytes = min(max(image_bytes, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES)
    count = min(MAX_BLOCKS, max(1, -(-image_bytes * taps.count // block_bytes)))
    if len(known) < 3 and channels > 1:
        count = max(count, -(-taps.count // UNKNOWN_SIZE_TAPS))
    if isinstance(rows, int):
        height = -(-rows // min(count, rows))
        bounds = [*range(0, rows, height), rows]
    else:
        bounds = [rows * i // count for i in range(count + 1)]
    results = []
    for start, stop in zip(bounds, bounds[1:]):
        # Without `after`, TensorFlow's executor would start all blocks at once and keep all their
        # windows in memory.
        last = results[-1] if results else images
        if not isinstance(rows, int):
            start, stop = after(last, start, stop)
        block = Block(start, stop, batch, (stop - start) * columns)
        results.append(function(block, *after(last, *images)))
    return list(zip(*results))


def image_by_rows(function, taps, channels, *images):
    """`by_rows` for a function that returns one tensor: the image (B, M, N, ...) of all blocks."""
    (blocks,) = by_rows(lambda *arguments: (function(*arguments),), taps, channels, *images)
    return to_image(blocks, taps.grid)


def after(results, *tensors):
    """`tensors`, held back until `results` are computed."""
    if keras.backend.backend() != "tensorflow":
        return tensors
    import tensorflow as tf

    with tf.control_dependencies(results):
        return [tf.identity(tensor) for tensor in tensors]


class Gather:
    """Reads the windows of `taps` from images."""

    def __init__(self, taps):
        self.taps = taps
        self._columns = span(taps.column_offsets, taps.steps[1], taps.grid[1])
        self._pixels = None
        self._whole = {}
        sizes = (*taps.grid, *self._columns)
        # 2^21 pixels of a thousand entries, more than any window has, stay below 2^31.
        small = all(isinstance(size, int) for size in sizes) and math.prod(taps.grid) < 2**21
        self._index_type = "int32" if small else "int64"

    def windows(self, image, block):
        """What the taps of a block of outputs read from (B, H, W, C): (B, pixels, T, C)."""
        return ops.take(self._read("windows", image, block, 1), self._indices(block), axis=1)

    def entries(self, image, entries, block):
        """What tap t reads at entry `entries[t]` of D from (B, H, W, D, C): (B, pixels, T, C)."""
        depth = image.shape[3]
        indices = self._indices(block) * depth + _integers(entries, self._index_type)
        return ops.take(self._read("entries", image, block, depth), indices, axis=1)

    def _read(self, key, image, block, depth):
        """The part of the image that a block reads: (B, rows * columns * depth, C)."""
        step, offsets = self.taps.steps[0], self.taps.row_offsets
        first, rows = span(offsets, step, block.stop - block.start)
        if all(isinstance(size, int) for size in (*image.shape[1:3], *self.taps.grid)):
            part = crop(image, (step * block.start + first, rows), self._columns)
        else:
            # Cropping an image of unknown size takes a dozen operations, so all blocks share it.
            if key not in self._whole:
                all_rows = span(offsets, step, self.taps.grid[0])
                self._whole[key] = crop(image, all_rows, self._columns)
            part = self._whole[key][:, step * block.start : step * block.start + rows]
        size = rows * self._columns[1] * depth
        return ops.reshape(part, (block.batch, size, image.shape[-1]))

    def _indices(self, block):
        """Where the taps of a block lie in the part that it reads: (pixels, T)."""
        if self._pixels is None:
            # Relative to a block's first row, the positions are the same for every block.
            rows, columns = self.taps.grid
            rows = block.stop - block.start if isinstance(rows, int) else rows
            width = ops.cast(self._columns[1], self._index_type)
            y = self._positions(rows, self.taps.steps[0], self.taps.row_offsets) * width
            x = self._positions(columns, self.taps.steps[1], self.taps.column_offsets)
            self._pixels = ops.reshape(
                y[:, None, :, None] + x[None, :, None, :], (-1, self.taps.count)
            )
        if isinstance(block.pixels, int) and block.pixels == self._pixels.shape[0]:
            return self._pixels
        return self._pixels[: block.pixels]

    def _positions(self, count, step, offsets):
        """step * output + offset, relative to the first: (count, len(offsets))."""
        offsets = _integers((offset - min(offsets) for offset in offsets), self._index_type)
        return ops.arange(count, dtype=self._index_type)[:, None] * step + offsets


def gather_windows(image, taps):
    """All windows of an image at once: (B, M, N, T, C)."""
    gather = Gather(taps)
    return image_by_rows(
        lambda block, image: gather.windows(image, block), taps, image.shape[-1], image
    )


def _integers(values, dtype):
    return ops.convert_to_tensor(list(values), dtype)


def to_image(blocks, grid):
    """Blocks of rows [(B, pixels, ...)] as (B, M, N, ...)."""
    pixels = ops.concatenate(blocks, axis=1)
    return ops.reshape(pixels, (_batch(pixels, grid), *grid, *pixels.shape[2:]))


def _batch(image, grid):
    """The batch size; -1, which a reshape infers, where it is the only unknown size."""
    known = image.shape[0] is not None or not all(isinstance(size, int) for size in grid)
    return ops.shape(image)[0] if known else -1

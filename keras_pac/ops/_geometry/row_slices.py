"""What the taps of a block of rows read, as slices: for JAX and PyTorch."""

import keras
from keras import ops

from keras_pac.ops._geometry.images import crop, span

# What all taps of a block read. XLA has it in memory all at once. PyTorch has only what one tap
# reads, and smaller blocks would take longer to start than to compute.
BLOCK_BYTES = (4 if keras.backend.backend() == "jax" else 32) * 2**20


def in_row_blocks(function, taps, read, here):
    """Apply a function to one block of output rows after another, which bounds the memory.

    Args:
        function: takes the block's part of each image; returns a tuple of tensors. From a part of
            the images `read`, `read_tap` takes what a tap reads.
        taps: `window.Taps`.
        read: images (B, H, W, ...) that the taps read.
        here: images (B, M, N, ...) on the outputs' grid.

    Returns:
        The tensors that the function returns, each with a new first axis, of blocks.
    """
    (rows, columns), (row_step, column_step) = taps.grid, taps.steps
    channels = max(image.shape[-1] for image in read)
    batch = read[0].shape[0] if isinstance(read[0].shape[0], int) else 1
    all_bytes = 4 * batch * rows * columns * taps.count * channels
    height = -(-rows // max(1, -(-all_bytes // BLOCK_BYTES)))
    count = -(-rows // height)
    # All blocks are equally high; zeros fill up the last one.
    read_rows = span(taps.row_offsets, row_step, count * height)
    read_columns = span(taps.column_offsets, column_step, columns)
    read = [crop(image, read_rows, read_columns) for image in read]
    here = [crop(image, (0, count * height), (0, columns)) for image in here]
    _, read_height = span(taps.row_offsets, row_step, height)

    def results(block):
        start = block * height
        parts = [_rows(image, row_step * start, read_height) for image in read]
        return function(*parts, *(_rows(image, start, height) for image in here))

    if count == 1:
        return [result[None] for result in results(0)]
    if keras.backend.backend() == "jax":
        # A loop for XLA, too: it would start all blocks at once.
        return ops.map(results, ops.arange(count))
    return [ops.stack(blocks) for blocks in zip(*map(results, range(count)))]


def _rows(image, start, count):
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.dynamic_slice_in_dim(image, start, count, axis=1)
    return image[:, start : start + count]


def read_tap(part, taps, tap):
    """What a tap reads from a block's part of an image: (B, rows, N, ...)."""
    row, column = divmod(tap, len(taps.column_offsets))
    height, width = part.shape[1:3]
    rows = _reads(height, taps.row_offsets, row, taps.steps[0])
    return part[:, rows, _reads(width, taps.column_offsets, column, taps.steps[1])]


def _reads(size, offsets, tap, step):
    return slice(offsets[tap] - min(offsets), size - max(offsets) + offsets[tap], step)


def join_rows(blocks, taps):
    """Blocks of rows (count, B, rows, N, ...) as an image (B, M, N, ...)."""
    count, batch, rows, *rest = blocks.shape
    image = ops.reshape(ops.moveaxis(blocks, 0, 1), (batch, count * rows, *rest))
    return image[:, : taps.grid[0]]

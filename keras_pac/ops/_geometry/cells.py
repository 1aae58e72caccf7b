"""Cells of `blur` x `blur` pixels, centred on the image: averaged, and enlarged again.

Each side of the image gets a margin, so that whole cells cover it; the margin does not count.
"""

from keras import ops

from keras_pac.ops._geometry.images import crop
from keras_pac.ops._geometry.resize import enlarge_bilinear


def average_cells(images, blur):
    """The mean of every cell of (B, H, W, C); those at the border count only their pixels."""
    if blur == 1:
        return images
    pads = [(_margin(size, blur),) * 2 for size in ops.shape(images)[1:3]]
    sums, counts = (
        ops.average_pool(
            ops.pad(x, ((0, 0), *pads, (0, 0))), blur, strides=blur, data_format="channels_last"
        )
        for x in (images, ops.ones_like(images[:1, :, :, :1]))
    )
    return sums / counts


def enlarge_cells(images, blur, size):
    """Cells as an image of `size` again: enlarged bilinearly, then cut to the size."""
    if blur == 1:
        return images
    images = enlarge_bilinear(images, (blur, blur))
    return crop(images, *((_margin(s, blur), s) for s in size))


def count_cells(size, blur):
    """How many cells `average_cells` makes of `size` pixels."""
    return (size + 2 * _margin(size, blur)) // blur


def _margin(size, blur):
    """Pixels that `average_cells` adds on each side."""
    return ((blur - size % blur) % blur + 1) // 2

"""The portable implementation, in `keras.ops`: a block of rows at a time, gradients by hand.

The windows of a few rows are gathered, used and dropped before the next block starts, so the
memory above inputs and outputs is bounded by `BLOCK_BYTES`, whatever the size of the window.

The gradients gather too. In y[i] = sum_t K_t[i] W_t x[s i + q_t] the input pixel j = s i' + a,
0 <= a < s, is read by tap t only if s divides a - q_t, and then by output i' + r_t with
r_t = (a - q_t) / s. So for each a ("phase") the outputs that read pixel j are again a window:

    dx[j]           = sum_t K_t[i' + r_t] W_t dy[i' + r_t]
    dK_t[i' + r_t]  = <dy[i' + r_t], x[j] W_t>
    dW_t            = sum_j x[j] K_t[i' + r_t] dy[i' + r_t]

Nothing is scattered: every element has one writer, and two runs agree to the last bit.
"""

import dataclasses
import math

import keras
from keras import ops

from keras_pac.ops.window import Taps, interleave, pad

# Bytes of gathered windows in one block. Smaller blocks lose more time in starting operations
# than their cache hits win (measured on 2 cores with 2 MiB of L2 cache each).
BLOCK_BYTES = 8 * 2**20
# A bound on the size of a graph.
MAX_BLOCKS = 32
# The least number of blocks for an image whose size is not known before the graph runs.
UNKNOWN_SIZE_BLOCKS = 8


def windowed_sum(x, adapting_kernel, kernel, taps):
    """sum_t K_t W_t x_t over the taps of one phase.

    Args:
        x: (B, H, W, Cin), padded.
        adapting_kernel: (B, M, N, T, 1), or (B, M, N, T, Cin) where `kernel` is None.
        kernel: (T, Cin, Cout), or None for pooling (every channel by itself, W_t = 1).
        taps: `window.Taps` with T taps and the grid (M, N).

    Returns:
        (B, M, N, Cout).
    """
    weights = [] if kernel is None else [kernel]

    @ops.custom_gradient
    def function(*arguments):
        def gradient(*saved, upstream=None):
            dy = saved[0] if upstream is None else upstream
            return _windowed_sum_gradients(dy, taps, *arguments)

        return _windowed_sum(taps, *arguments), gradient

    return function(x, adapting_kernel, *weights)


def _windowed_sum(taps, x, adapting_kernel, kernel=None):
    gather = _Gather(taps, ops.shape(x)[2])
    kernel = _matrix(kernel)

    def block(start, stop, x, adapting_kernel):
        windows = gather.windows(x, start, stop) * _flat(adapting_kernel[:, start:stop])
        return (_contract(windows, kernel),)

    (y,) = _by_rows(block, taps, x.shape[-1], x, adapting_kernel)
    return _image(y, taps.grid)


def _windowed_sum_gradients(dy, taps, x, adapting_kernel, kernel=None):
    dx, dk, dkernel = [], [], []
    for adjoint in _adjoints(taps, ops.shape(x)[1:3]):
        x_phase = adjoint.phase_of(x)
        if not adjoint.tap_ids:
            dx.append(ops.zeros_like(x_phase))
            continue
        phase_kernel = None if kernel is None else ops.take(kernel, adjoint.tap_ids, axis=0)
        sums = _adjoint_sums(dy, adjoint, x_phase, adapting_kernel, phase_kernel)
        dx.append(_image(sums[0], adjoint.taps.grid))
        dk.append((adjoint.tap_ids, adjoint.to_outputs(_image(sums[1], adjoint.taps.grid))))
        if kernel is not None:
            dkernel.append((adjoint.tap_ids, sum(sums[2])))
    dx = interleave(dx, taps.steps, ops.shape(x)[1:3])
    if kernel is None:
        return dx, _in_tap_order(dk, axis=3)
    return dx, _in_tap_order(dk, axis=3), _in_tap_order(dkernel, axis=0)


def _adjoint_sums(dy, adjoint, x, adapting_kernel, kernel):
    """Per block of rows, the sums of the module's docstring for one phase of x."""
    channel_wise = adapting_kernel.shape[-1] != 1
    dy, adapting_kernel = adjoint.pad(dy), adjoint.pad(adapting_kernel)
    if kernel is not None:
        t, c_in, c_out = kernel.shape
        to_output = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (c_in, t * c_out))
        to_input = _matrix(ops.transpose(kernel, (0, 2, 1)))
    gather = _Gather(adjoint.taps, ops.shape(dy)[2])

    def block(start, stop, x, dy, adapting_kernel):
        x = _flat(x[:, start:stop, :, None])
        windows = gather.windows(dy, start, stop)
        weighted = windows * gather.entries(adapting_kernel, adjoint.tap_ids, start, stop)
        dx = _contract(weighted, None if kernel is None else to_input)
        if kernel is None:
            dk = windows * x
            return dx, dk if channel_wise else ops.sum(dk, axis=-1, keepdims=True)
        x = ops.reshape(x, (-1, c_in))
        seen = ops.reshape(ops.matmul(x, to_output), ops.shape(windows))
        dk = ops.sum(windows * seen, axis=-1, keepdims=True)
        dkernel = ops.matmul(ops.transpose(x), ops.reshape(weighted, (-1, t * c_out)))
        return dx, dk, ops.transpose(ops.reshape(dkernel, (c_in, t, c_out)), (1, 0, 2))

    return _by_rows(block, adjoint.taps, dy.shape[-1], x, dy, adapting_kernel)


def squared_differences(guide, center, taps, asymmetric, channel_wise):
    """sum over channels of (guide_t - center)^2; of max(guide_t - center, 0)^2 if asymmetric.

    Args:
        guide: (B, H, W, G), padded.
        center: (B, M, N, G).
        taps: `window.Taps` with T taps and the grid (M, N).
        asymmetric: bool.
        channel_wise: bool, whether to leave out the sum over channels.

    Returns:
        (B, M, N, T, 1), or (B, M, N, T, G) if `channel_wise`.
    """

    @ops.custom_gradient
    def function(guide, center):
        def gradient(*saved, upstream=None):
            weights = 2 * (saved[0] if upstream is None else upstream)
            return (
                _guide_gradient(weights, guide, center, taps, asymmetric),
                _center_gradient(weights, guide, center, taps, asymmetric),
            )

        gather = _Gather(taps, ops.shape(guide)[2])

        def block(start, stop, guide, center):
            squares = ops.square(differences(guide, center, start, stop))
            return (squares if channel_wise else ops.sum(squares, axis=-1, keepdims=True),)

        def differences(guide, center, start, stop):
            windows = gather.windows(guide, start, stop)
            return _differences(windows, _flat(center[:, start:stop, :, None]), asymmetric)

        (squares,) = _by_rows(block, taps, guide.shape[-1], guide, center)
        return _image(squares, taps.grid), gradient

    return function(guide, center)


def _differences(guide, center, asymmetric):
    return ops.relu(guide - center) if asymmetric else guide - center


def _center_gradient(weights, guide, center, taps, asymmetric):
    """-sum_t weights_t (guide_t - center) on the outputs' grid."""

    gather = _Gather(taps, ops.shape(guide)[2])

    def block(start, stop, guide, center, weights):
        windows = gather.windows(guide, start, stop)
        center = _flat(center[:, start:stop, :, None])
        weighted = _differences(windows, center, asymmetric) * _flat(weights[:, start:stop])
        return (-ops.sum(weighted, axis=2),)

    (rows,) = _by_rows(block, taps, guide.shape[-1], guide, center, weights)
    return _image(rows, taps.grid)


def _guide_gradient(weights, guide, center, taps, asymmetric):
    """sum over the outputs that read a guide pixel of weights_t (guide - center)."""
    phases = []
    for adjoint in _adjoints(taps, ops.shape(guide)[1:3]):
        guide_phase = adjoint.phase_of(guide)
        if not adjoint.tap_ids:
            phases.append(ops.zeros_like(guide_phase))
            continue

        padded = adjoint.pad(center), adjoint.pad(weights)
        gather = _Gather(adjoint.taps, ops.shape(padded[0])[2])

        def block(start, stop, guide, center, weights, gather=gather, tap_ids=adjoint.tap_ids):
            guide = _flat(guide[:, start:stop, :, None])
            differences = _differences(guide, gather.windows(center, start, stop), asymmetric)
            return (ops.sum(differences * gather.entries(weights, tap_ids, start, stop), axis=2),)

        (rows,) = _by_rows(block, adjoint.taps, guide.shape[-1], guide_phase, *padded)
        phases.append(_image(rows, adjoint.taps.grid))
    return interleave(phases, taps.steps, ops.shape(guide)[1:3])


@dataclasses.dataclass(frozen=True)
class _Adjoint:
    """The outputs that read the pixels of one phase of an input image."""

    position: tuple  # of the phase's first pixel in the image
    steps: tuple
    tap_ids: tuple  # the taps that read this phase
    padding: tuple  # (rows, columns) of what is gathered from the outputs
    taps: Taps  # on the padded outputs; its grid is the phase of the image
    back: Taps  # from a pixel of the phase to the outputs

    def phase_of(self, image):
        """The pixels of this phase, (B, I, J, C)."""
        (i, j), (si, sj), (a, b) = self.taps.grid, self.steps, self.position
        if self.steps == (1, 1):
            return image
        _, height, width, _ = ops.shape(image)
        image = pad(image, (0, i * si - height), (0, j * sj - width))
        return image[:, a::si, b::sj]

    def pad(self, outputs):
        return pad(outputs, *self.padding)

    def to_outputs(self, values):
        """Move (B, I, J, T, ...), for tap t of the output that reads a pixel, to that output."""
        gather = _Gather(self.back, ops.shape(values)[2])
        ids = range(len(self.tap_ids))

        def block(start, stop, values):
            return (gather.entries(values, ids, start, stop),)

        (rows,) = _by_rows(block, self.back, values.shape[-1], values)
        return _image(rows, self.back.grid)


def _adjoints(taps, size):
    """The adjoint of `taps` for each phase of an image of `size`, in row-major order."""
    axes = []
    for offsets, step, outputs, length in zip(
        (taps.row_offsets, taps.column_offsets), taps.steps, taps.grid, size
    ):
        pixels = -(-length // step)
        axis = []
        for phase in range(step):
            read_by = [(t, (phase - q) // step) for t, q in enumerate(offsets)]
            read_by = [(t, r) for t, r in read_by if r * step == phase - offsets[t]]
            before = -min((r for _, r in read_by), default=0)
            after = pixels - outputs
            after = max(after, 0) if isinstance(after, int) else ops.maximum(after, 0)
            axis.append((phase, pixels, read_by, before, after, outputs))
        axes.append(axis)
    for a, i, row_reads, top, bottom, m in axes[0]:
        for b, j, column_reads, left, right, n in axes[1]:
            yield _Adjoint(
                position=(a, b),
                steps=taps.steps,
                tap_ids=tuple(
                    t * len(taps.column_offsets) + u for t, _ in row_reads for u, _ in column_reads
                ),
                padding=((top, bottom), (left, right)),
                taps=Taps(
                    tuple(r + top for _, r in row_reads),
                    tuple(r + left for _, r in column_reads),
                    (1, 1),
                    (i, j),
                ),
                back=Taps(
                    tuple(-r for _, r in row_reads),
                    tuple(-r for _, r in column_reads),
                    (1, 1),
                    (m, n),
                ),
            )


def _by_rows(block, taps, channels, *images):
    """Lists of what `block(start, stop, *images)` returns, one block of rows after another."""
    batch = images[0].shape[0]
    rows, columns = taps.grid
    sizes = (batch, rows, columns)
    known = [size for size in sizes if isinstance(size, int)]
    windows = math.prod(known) * taps.count * channels * 4
    count = min(MAX_BLOCKS, max(1, -(-windows // BLOCK_BYTES)))
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


class _Gather:
    """Reads windows from padded images of one width, a block of output rows at a time."""

    def __init__(self, taps, width):
        self.taps = taps
        self.width = width
        self._indices = {}

    def windows(self, image, start, stop):
        """The windows of output rows start to stop of (B, H, W, C): (B, pixels, T, C)."""
        return ops.take(_flat(self._rows(image, start, stop)), self._pixels(stop - start), axis=1)

    def entries(self, image, tap_ids, start, stop):
        """From (B, H, W, D, C), for tap t the entry `tap_ids[t]` of D: (B, pixels, T, C)."""
        rows = self._rows(image, start, stop)
        batch, height, width, depth, channels = ops.shape(rows)
        rows = ops.reshape(rows, (batch, height * width * depth, channels))
        indices = self._pixels(stop - start) * depth + ops.convert_to_tensor(list(tap_ids), "int32")
        return ops.take(rows, indices, axis=1)

    def _rows(self, image, start, stop):
        """The rows of the image that output rows start to stop read."""
        step, offsets = self.taps.steps[0], self.taps.row_offsets
        return image[:, step * start + min(offsets) : step * (stop - 1) + max(offsets) + 1]

    def _pixels(self, count):
        """Where the taps of `count` rows of outputs lie in the rows they read: (pixels, T)."""
        if isinstance(count, int) and count in self._indices:
            return self._indices[count]
        (row_step, column_step), columns = self.taps.steps, self.taps.grid[1]
        first = min(self.taps.row_offsets)
        rows = _positions(count, row_step, [row - first for row in self.taps.row_offsets])
        columns = _positions(columns, column_step, self.taps.column_offsets)
        pixels = rows[:, None, :, None] * self.width + columns[None, :, None, :]
        pixels = ops.reshape(pixels, (-1, self.taps.count))
        if isinstance(count, int):
            self._indices[count] = pixels
        return pixels


def _positions(count, step, offsets):
    """step * output + offset: (count, len(offsets))."""
    offsets = ops.convert_to_tensor(list(offsets), "int32")
    return ops.arange(count, dtype="int32")[:, None] * step + offsets


def _matrix(kernel):
    """(T, Cin, Cout) as (T * Cin, Cout)."""
    return None if kernel is None else ops.reshape(kernel, (-1, kernel.shape[-1]))


def _contract(windows, matrix):
    """(B, pixels, T, Cin) and (T * Cin, Cout) or None: (B, pixels, Cout)."""
    if matrix is None:
        return ops.sum(windows, axis=2)
    batch, pixels, t, channels = ops.shape(windows)
    y = ops.matmul(ops.reshape(windows, (batch * pixels, t * channels)), matrix)
    return ops.reshape(y, (batch, pixels, matrix.shape[-1]))


def _flat(image):
    """(B, M, N, ...) as (B, M * N, ...)."""
    batch, m, n, *rest = ops.shape(image)
    return ops.reshape(image, (batch, m * n, *rest))


def _image(blocks, grid):
    """Blocks of rows [(B, pixels, ...)] as (B, M, N, ...)."""
    pixels = ops.concatenate(blocks, axis=1)
    batch, _, *rest = ops.shape(pixels)
    return ops.reshape(pixels, (batch, *grid, *rest))


def _in_tap_order(parts, axis):
    """Join parts [(tap ids, values whose `axis` runs over them)]."""
    if len(parts) == 1:
        return parts[0][1]
    ids = [tap for tap_ids, _ in parts for tap in tap_ids]
    values = ops.concatenate([values for _, values in parts], axis=axis)
    return ops.take(values, sorted(range(len(ids)), key=ids.__getitem__), axis=axis)

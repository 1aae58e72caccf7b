"""One phase in `keras.ops`, a block of rows at a time, with hand-written gradients: TensorFlow's.

The windows of a few rows are gathered, used and dropped before the next block starts, so the
memory above inputs and outputs is bounded, whatever the size of the window.

The gradients gather too. With the notation of `adjoint`, for pixel j = s i' + a of the input of
y[i] = sum_t K_t[i] W_t x[s i + q_t]:

    dx[j]           = sum_t K_t[i' + r_t] W_t dy[i' + r_t]
    dK_t[i' + r_t]  = <dy[i' + r_t], x[j] W_t>
    dW_t            = sum_j x[j] K_t[i' + r_t] dy[i' + r_t]

Nothing is scattered: every element has one writer, and two runs agree to the last bit.
"""

from keras import ops

from keras_pac.ops._geometry.adjoint import adjoints
from keras_pac.ops._geometry.blocks import Gather, after, by_rows, image_by_rows, to_image
from keras_pac.ops._geometry.images import crop, interleave, slice_tap
from keras_pac.ops._geometry.window import Taps
from keras_pac.ops._implementations.own_gradient import own_gradient


def phase_sum(x, adapting, filter, taps):
    """sum_t K_t W_t x_t over the taps of one phase.

    Args:
        x: (B, H, W, Cin).
        adapting: (B, M, N, T, 1), or (B, M, N, T, Cin) where `filter` is None.
        filter: (T, Cin, Cout), or None for pooling (every channel by itself, W_t = 1).
        taps: `window.Taps` with T taps and the grid (M, N).

    Returns:
        (B, M, N, Cout).
    """
    weights = [] if filter is None else [filter]

    @own_gradient
    def function(*arguments):
        y = _phase_sum(taps, *arguments)

        def gradient(*saved, upstream=None):
            (dy,) = after([y], saved[0] if upstream is None else upstream)
            return _phase_sum_gradients(dy, taps, *arguments)

        return y, gradient

    return function(x, adapting, *weights)


def _phase_sum(taps, x, adapting, filter=None):
    gather = Gather(taps)
    filter = _matrix(filter)

    def sums(block, x, adapting):
        return _contract(gather.windows(x, block) * block.of(adapting), filter, block)

    return image_by_rows(sums, taps, x.shape[-1], x, adapting)


def _phase_sum_gradients(dy, taps, x, adapting, filter=None):
    dx, dk, dfilter = [], [], []
    for adjoint in adjoints(taps, ops.shape(x)[1:3]):
        x_phase = adjoint.phase_of(x)
        if not adjoint.tap_ids:
            dx.append(ops.zeros_like(x_phase))
            continue
        phase_filter = None if filter is None else ops.take(filter, adjoint.tap_ids, axis=0)
        sums = _adjoint_sums(dy, adjoint, x_phase, adapting, phase_filter)
        dx.append(to_image(sums[0], adjoint.taps.grid))
        dk.append((adjoint.tap_ids, adjoint.to_outputs(to_image(sums[1], adjoint.taps.grid))))
        if filter is not None:
            dfilter.append((adjoint.tap_ids, sum(sums[2])))
    dx = interleave(dx, taps.steps, ops.shape(x)[1:3])
    if filter is None:
        return dx, _in_tap_order(dk, axis=3)
    return dx, _in_tap_order(dk, axis=3), _in_tap_order(dfilter, axis=0)


def _adjoint_sums(dy, adjoint, x, adapting, filter):
    """The sums of the module's docstring for one phase of x, each a tuple over blocks of rows."""
    channel_wise = adapting.shape[-1] != 1
    if filter is not None:
        t, c_in, c_out = filter.shape
        to_output = ops.reshape(ops.transpose(filter, (1, 0, 2)), (c_in, t * c_out))
        to_input = _matrix(ops.transpose(filter, (0, 2, 1)))
    gather = Gather(adjoint.taps)

    def sums(block, x, dy, adapting):
        windows = gather.windows(dy, block)
        if filter is None:
            dk = windows * block.of(x)[:, :, None]
        else:
            x = ops.reshape(block.of(x), (-1, c_in))
            seen = ops.reshape(ops.matmul(x, to_output), (block.batch, block.pixels, t, c_out))
            dk = seen * windows
        dk = dk if channel_wise else ops.sum(dk, axis=-1, keepdims=True)
        # When dK is computed, nothing else needs the windows: TensorFlow multiplies in place.
        (windows,) = after([dk], windows)
        weighted = windows * gather.entries(adapting, adjoint.tap_ids, block)
        if filter is None:
            return _contract(weighted, None, block), dk
        dx = _contract(weighted, to_input, block)
        dfilter = ops.matmul(ops.transpose(x), ops.reshape(weighted, (-1, t * c_out)))
        return dx, dk, ops.transpose(ops.reshape(dfilter, (c_in, t, c_out)), (1, 0, 2))

    return by_rows(sums, adjoint.taps, dy.shape[-1], x, dy, adapting)


def squared_differences(guide, center, taps, asymmetric, channel_wise):
    """sum over channels of (guide_t - center)^2; of max(guide_t - center, 0)^2 if asymmetric.

    Args:
        guide: (B, H, W, G).
        center: (B, M, N, G), or None for the guide at the middle tap.
        taps: `window.Taps` with T taps and the grid (M, N).
        asymmetric: bool.
        channel_wise: bool, whether to leave out the sum over channels.

    Returns:
        (B, M, N, T, 1), or (B, M, N, T, G) if `channel_wise`.
    """
    if center is None and taps.steps == (1, 1) and not asymmetric:
        return _squared_differences_by_pairs(guide, taps, channel_wise)
    if center is None:
        center = slice_tap(guide, taps.middle)

    @own_gradient
    def function(guide, center):
        def gradient(*saved, upstream=None):
            weights = 2 * (saved[0] if upstream is None else upstream)
            return (
                _guide_gradient(weights, guide, center, taps, asymmetric),
                _center_gradient(weights, guide, center, taps, asymmetric),
            )

        gather = Gather(taps)

        def squares(block, guide, center):
            center = block.of(center)[:, :, None]
            differences = _differences(gather.windows(guide, block), center, asymmetric)
            return _squares(differences, channel_wise)

        return image_by_rows(squares, taps, guide.shape[-1], guide, center), gradient

    return function(guide, center)


def _squares(differences, channel_wise):
    squares = ops.square(differences)
    return squares if channel_wise else ops.sum(squares, axis=-1, keepdims=True)


def _differences(guide, center, asymmetric):
    return ops.relu(guide - center) if asymmetric else guide - center


def _center_gradient(weights, guide, center, taps, asymmetric):
    """-sum_t weights_t (guide_t - center) on the outputs' grid."""

    gather = Gather(taps)

    def sums(block, guide, center, weights):
        center = block.of(center)[:, :, None]
        differences = _differences(gather.windows(guide, block), center, asymmetric)
        return -ops.sum(differences * block.of(weights), axis=2)

    return image_by_rows(sums, taps, guide.shape[-1], guide, center, weights)


def _guide_gradient(weights, guide, center, taps, asymmetric):
    """For a guide pixel, the sum of weights_t (guide - center) over the outputs that read it."""
    phases = []
    for adjoint in adjoints(taps, ops.shape(guide)[1:3]):
        guide_phase = adjoint.phase_of(guide)
        if not adjoint.tap_ids:
            phases.append(ops.zeros_like(guide_phase))
            continue

        gather = Gather(adjoint.taps)

        def sums(block, guide, center, weights, gather=gather, tap_ids=adjoint.tap_ids):
            guide = block.of(guide)[:, :, None]
            differences = _differences(guide, gather.windows(center, block), asymmetric)
            return ops.sum(differences * gather.entries(weights, tap_ids, block), axis=2)

        images = guide_phase, center, weights
        phases.append(image_by_rows(sums, adjoint.taps, guide.shape[-1], *images))
    return interleave(phases, taps.steps, ops.shape(guide)[1:3])


def _squared_differences_by_pairs(guide, taps, channel_wise):
    """(guide_t - guide at the middle tap)^2, which each pair of pixels sees from both sides.

    With E_t[j] = (g[j + delta_t] - g[j])^2 and the opposite tap -t, delta_-t = -delta_t, half the
    taps are enough: D_t[m] = E_t[m] and D_-t[m] = E_t[m - delta_t]. The gradient needs one sum
    instead of one for each side: dg[j] = sum_t S_t[j] (g[j] - g[j + delta_t]) with
    S_t[j] = w_t[j] + w_-t[j + delta_t] for the weights w = 2 dD.
    """

    @own_gradient
    def function(guide):
        def gradient(*saved, upstream=None):
            weights = 2 * (saved[0] if upstream is None else upstream)
            return _pairs_gradient(weights, guide, taps)

        return _pairs(guide, taps, channel_wise), gradient

    return function(guide)


def _pairs(guide, taps, channel_wise):
    (m, n), half = taps.grid, len(taps.row_offsets) // 2
    rows, columns = taps.row_offsets, taps.column_offsets
    (row,), (column,) = taps.middle.row_offsets, taps.middle.column_offsets
    # E for all j from the first tap of the first output on: D_-t[m] = E_t[m - delta_t].
    grid = (m + row - rows[0], n + columns[-1] - columns[0])
    lower = Taps(
        tuple(rows[0] + offset - row for offset in rows[half:]),
        tuple(columns[0] + offset - column for offset in columns),
        (1, 1),
        grid,
    )
    center = slice_tap(guide, Taps(rows[:1], columns[:1], (1, 1), grid))
    gather = Gather(lower)

    def squares(block, guide, center):
        differences = gather.windows(guide, block) - block.of(center)[:, :, None]
        return _squares(differences, channel_wise)

    squares = image_by_rows(squares, lower, guide.shape[-1], guide, center)
    here = crop(squares, (row - rows[0], m), (column - columns[0], n))
    if not half:
        return here
    upper = Taps(
        tuple(offset - rows[0] for offset in rows[:half]),
        tuple(offset - columns[0] for offset in columns),
        (1, 1),
        taps.grid,
    )
    opposite = range(lower.count)[: -upper.count - 1 : -1]
    gather_opposite = Gather(upper)

    def mirror(block, squares):
        return gather_opposite.entries(squares, opposite, block)

    there = image_by_rows(mirror, upper, squares.shape[-1], squares)
    return ops.concatenate([there, here], axis=3)


def _pairs_gradient(weights, guide, taps):
    size = ops.shape(guide)[1:3]
    (row,), (column,) = taps.middle.row_offsets, taps.middle.column_offsets
    neighbors = Taps(
        tuple(offset - row for offset in taps.row_offsets),
        tuple(offset - column for offset in taps.column_offsets),
        (1, 1),
        size,
    )
    here = slice_tap(weights, Taps((-row,), (-column,), (1, 1), size))
    (adjoint,) = adjoints(taps, size)
    opposite = Taps(adjoint.taps.row_offsets[::-1], adjoint.taps.column_offsets[::-1], (1, 1), size)
    gather, gather_opposite = Gather(neighbors), Gather(opposite)

    def sums(block, guide, here, there):
        differences = block.of(guide)[:, :, None] - gather.windows(guide, block)
        opposite = gather_opposite.entries(there, range(taps.count)[::-1], block)
        return ops.sum((block.of(here) + opposite) * differences, axis=2)

    return image_by_rows(sums, neighbors, guide.shape[-1], guide, here, weights)


def _matrix(filter):
    """(T, Cin, Cout) as (T * Cin, Cout)."""
    return None if filter is None else ops.reshape(filter, (-1, filter.shape[-1]))


def _contract(windows, matrix, block):
    """(B, pixels, T, Cin) and (T * Cin, Cout) or None: (B, pixels, Cout)."""
    if matrix is None:
        return ops.sum(windows, axis=2)
    y = ops.matmul(ops.reshape(windows, (-1, matrix.shape[0])), matrix)
    return ops.reshape(y, (block.batch, block.pixels, matrix.shape[-1]))


def _in_tap_order(parts, axis):
    """Join parts [(tap ids, values whose `axis` runs over them)]."""
    if len(parts) == 1:
        return parts[0][1]
    ids = [tap for tap_ids, _ in parts for tap in tap_ids]
    values = ops.concatenate([values for _, values in parts], axis=axis)
    return ops.take(values, sorted(range(len(ids)), key=ids.__getitem__), axis=axis)

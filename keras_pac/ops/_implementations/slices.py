"""`taps` on JAX and PyTorch: one phase from slices of images, a block of rows at a time.

What a tap reads for the outputs of a block is one slice. XLA fuses slices with what is computed
from them, and PyTorch multiplies them where they lie; both are slow at the gathering that suits
TensorFlow. The formulas of the gradients are those of `taps`. Float16 is summed in float32.
"""

import keras
from keras import ops

from keras_pac.ops._geometry.adjoint import adjoints
from keras_pac.ops._geometry.images import interleave, slice_tap
from keras_pac.ops._geometry.row_slices import in_row_blocks, join_rows, read_tap
from keras_pac.ops._implementations.kernel_form import in_float32
from keras_pac.ops._implementations.own_gradient import own_gradient


def phase_sum(x, adapting, filter, taps):
    """sum_t K_t W_t x_t; the arguments are those of `taps.phase_sum`."""
    weights = [] if filter is None else [filter]

    @own_gradient
    def function(*arguments):
        def gradient(*saved, upstream=None):
            dy = saved[0] if upstream is None else upstream
            return _phase_sum_gradients(dy, taps, *arguments)

        return _phase_sum(taps, *arguments), gradient

    return function(x, adapting, *weights)


def _phase_sum(taps, x, adapting, filter=None):
    def sums(x, adapting):
        y = 0  # PyTorch adds in place, the first time to a new tensor
        for t in range(taps.count):
            weighted = read_tap(x, taps, t) * adapting[:, :, :, t]
            y += in_float32(weighted if filter is None else weighted @ filter[t])
        return (ops.cast(y, x.dtype),)

    (y,) = in_row_blocks(sums, taps, [x], [adapting])
    return join_rows(y, taps)


def _phase_sum_gradients(dy, taps, x, adapting, filter=None):
    dx, dk, dfilter = [], [None] * taps.count, [None] * taps.count
    for adjoint in adjoints(taps, ops.shape(x)[1:3]):
        x_phase = adjoint.phase_of(x)
        if not adjoint.tap_ids:
            dx.append(ops.zeros_like(x_phase))
            continue
        sums = _adjoint_sums(dy, adjoint, x_phase, adapting, filter)
        dx.append(join_rows(sums[0], adjoint.taps))
        moved = join_rows(sums[1], adjoint.taps)
        for n, t in enumerate(adjoint.tap_ids):
            dk[t] = slice_tap(moved[:, :, :, n], adjoint.back.only(n))
            dfilter[t] = ops.sum(sums[2][:, n], axis=0) if filter is not None else None
    dx = interleave(dx, taps.steps, ops.shape(x)[1:3])
    if filter is None:
        return dx, ops.stack(dk, axis=3)
    return dx, ops.stack(dk, axis=3), ops.stack(dfilter)


def _adjoint_sums(dy, adjoint, x, adapting, filter):
    """dx, dK and dW for one phase of x, in blocks of rows."""
    channel_wise = adapting.shape[-1] != 1
    to_input = None if filter is None else ops.transpose(filter, (0, 2, 1))

    def sums(dy, adapting, x):
        dx, dk, dfilter = 0, [], []
        columns = ops.transpose(ops.reshape(x, (-1, x.shape[-1])))
        for n, t in enumerate(adjoint.tap_ids):
            dy_t = read_tap(dy, adjoint.taps, n)
            adapting_t = read_tap(adapting[:, :, :, t], adjoint.taps, n)
            back = dy_t if filter is None else dy_t @ to_input[t]
            dx += in_float32(back * adapting_t)
            dk.append(back * x if channel_wise else _channel_sum(back * x))
            if filter is not None:
                dfilter.append(columns @ (dy_t * adapting_t).reshape(-1, dy_t.shape[-1]))
        dx, dk = ops.cast(dx, x.dtype), ops.stack(dk, axis=3)
        return (dx, dk) if filter is None else (dx, dk, ops.stack(dfilter))

    return in_row_blocks(sums, adjoint.taps, [dy, adapting], [x])


def squared_differences(guide, center, taps, asymmetric, channel_wise):
    """sum_c (guide_t - center)^2; the arguments are those of `taps.squared_differences`."""
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

        return _squared_differences(guide, center, taps, asymmetric, channel_wise), gradient

    return function(guide, center)


def _squared_differences(guide, center, taps, asymmetric, channel_wise):
    def squares(guide, center):
        distances = []
        for t in range(taps.count):
            difference = _difference(read_tap(guide, taps, t), center, asymmetric)
            square = difference * difference
            distances.append(square if channel_wise else ops.sum(square, axis=-1, keepdims=True))
        return (ops.stack(distances, axis=3),)

    (distances,) = in_row_blocks(squares, taps, [guide], [center])
    return join_rows(distances, taps)


def _difference(guide, center, asymmetric):
    return ops.relu(guide - center) if asymmetric else guide - center


def _center_gradient(weights, guide, center, taps, asymmetric):
    """-sum_t weights_t (guide_t - center)."""

    def sums(guide, center, weights):
        total = 0
        for t in range(taps.count):
            difference = _difference(read_tap(guide, taps, t), center, asymmetric)
            total -= weights[:, :, :, t] * difference
        return (total,)

    (total,) = in_row_blocks(sums, taps, [guide], [center, weights])
    return join_rows(total, taps)


def _guide_gradient(weights, guide, center, taps, asymmetric):
    """For a guide pixel, the sum of weights_t (guide - center) over the outputs that read it."""
    phases = []
    for adjoint in adjoints(taps, ops.shape(guide)[1:3]):
        guide_phase = adjoint.phase_of(guide)

        def sums(center, weights, guide, adjoint=adjoint):
            total = ops.zeros_like(guide)
            for n, t in enumerate(adjoint.tap_ids):
                difference = _difference(guide, read_tap(center, adjoint.taps, n), asymmetric)
                total += read_tap(weights[:, :, :, t], adjoint.taps, n) * difference
            return (total,)

        if adjoint.tap_ids:
            (total,) = in_row_blocks(sums, adjoint.taps, [center, weights], [guide_phase])
            phases.append(join_rows(total, adjoint.taps))
        else:
            phases.append(ops.zeros_like(guide_phase))
    return interleave(phases, taps.steps, ops.shape(guide)[1:3])


def _channel_sum(image):
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        # In a training step this takes half the time of XLA's sum. A GPU would round the factors.
        ones = jnp.ones((image.shape[-1], 1), image.dtype)
        return jnp.matmul(image, ones, precision="highest")
    return ops.sum(image, axis=-1, keepdims=True)

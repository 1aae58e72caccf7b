"""The one primitive behind convolution, transposed convolution and pooling."""

import math

from keras import ops

from keras_pac.ops import implementation
from keras_pac.ops.window import interleave


def windowed_sum(x, kernels, kernel, window, bias=None):
    """y = bias + sum_t K_t W_t x_t over a window.

    Args:
        x: (B, H, W, Cin).
        kernels: the adapting kernel of each phase of the window, as `kernel_phases` returns them.
        kernel: (kh, kw, Cin, Cout), (kh, kw, 1, 1) for a filter shared by all channels, or None
            for a filter of ones (pooling).
        window: `window.Window`.
        bias: None or (Cout,).

    Returns:
        (B, OH, OW, Cout), of the type of x.
    """
    padded = window.pad(x)
    shared = kernel is not None and tuple(kernel.shape[2:]) == (1, 1)
    channels = x.shape[-1] if kernel is None or shared else kernel.shape[3]
    if kernel is not None:
        kernel = ops.cast(kernel, x.dtype)
        kernel = ops.reshape(kernel, (math.prod(window.kernel_size), *kernel.shape[2:]))
    phases = []
    for phase, phase_kernel in zip(window.phases(), kernels):
        if phase_kernel is None:
            phases.append(ops.zeros((ops.shape(x)[0], *window.grid, channels), x.dtype))
            continue
        phase_kernel, taps = ops.cast(phase_kernel, x.dtype), kernel
        if kernel is not None and len(phase.tap_indices) < kernel.shape[0]:
            taps = ops.take(kernel, phase.tap_indices, axis=0)
        if shared:
            phase_kernel, taps = phase_kernel * taps[:, 0], None
        phases.append(
            implementation.module().windowed_sum(padded, phase_kernel, taps, phase.input_taps)
        )
    y = interleave(phases, window.phase_counts, window.output_size)
    return y if bias is None else y + ops.cast(bias, x.dtype)

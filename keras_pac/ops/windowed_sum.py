"""The one primitive behind convolution, transposed convolution and pooling."""

import math

from keras import ops

from keras_pac.ops import implementation
from keras_pac.ops.adapting_kernel import kernel_phases, smoothed, split_phases, whole_kernel
from keras_pac.ops.window import interleave


def windowed_sum(x, adapting_kernel, kernel, window, bias=None):
    """y = bias + sum_t K_t W_t x_t over a window.

    Args:
        x: (B, H, W, Cin).
        adapting_kernel: (B, OH, OW, kh * kw, 1 or Cin).
        kernel: (kh, kw, Cin, Cout), (kh, kw, 1, 1) for a filter shared by all channels, or None
            for a filter of ones (pooling).
        window: `window.Window`.
        bias: None or (Cout,).

    Returns:
        (B, OH, OW, Cout), of the type of x.
    """
    if compiled := implementation.compiled():
        return compiled.windowed_sum(x, adapting_kernel, kernel, window, bias)
    return _sum_of_phases(x, split_phases(adapting_kernel, window), kernel, window, bias)


def guided_windowed_sum(x, guide, kernel, window, bias=None, valid_mask=None, **options):
    """The windowed sum with the adapting kernel of a guide, which is not stored where possible.

    Args:
        x, kernel, window, bias: as for `windowed_sum`.
        guide: (B, H, W, G).
        valid_mask: None or (B, H, W, 1), of the input.
        **options: those of `kernel_phases`.

    Returns:
        ((B, OH, OW, Cout), of the type of x, and the output mask (B, OH, OW, 1) or None).
    """
    compiled = implementation.compiled()
    if compiled is None:
        kernels, output_mask = kernel_phases(guide, window, valid_mask, **options)
        return _sum_of_phases(x, kernels, kernel, window, bias), output_mask
    stored = valid_mask is not None or options["normalize"] or options["channel_wise"]
    if stored or guide.dtype != x.dtype:
        adapting_kernel, output_mask = whole_kernel(guide, window, valid_mask, **options)
        return compiled.windowed_sum(x, adapting_kernel, kernel, window, bias), output_mask
    center = smoothed(guide, options["smoothing"])
    options = {key: options[key] for key in ("kind", "alpha", "exponent", "asymmetric")}
    return compiled.guided_windowed_sum(x, guide, center, kernel, window, bias, **options), None


def _sum_of_phases(x, kernels, kernel, window, bias):
    """The portable sum; `kernels` are those of each phase, as `kernel_phases` returns them."""
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

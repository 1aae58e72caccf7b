"""Adapting kernels and windowed sums in `keras.ops`, computed phase by phase.

Phases whose taps lie at the same offsets are computed together, as one batch: of the 256 phases
of a stride of 16 and a window of 65 there are four kinds.

Three modules compute one phase, with the same functions `phase_sum` and `squared_differences`:
`taps`, which bounds the memory, `slices`, which does that on JAX and PyTorch, and `patches`, the
readable definition.
"""

import math

import keras
from keras import ops

from keras_pac.ops._geometry.blocks import gather_windows
from keras_pac.ops._geometry.images import interleave, slice_tap, split
from keras_pac.ops._implementations import slices, taps
from keras_pac.ops._implementations.kernel_form import in_float32


class Portable:
    """The functions of an implementation (see `keras_pac.ops._implementations`).

    Args:
        phases: the module that computes one phase.
    """

    def __init__(self, phases):
        self._phases = phases

    def adapting_kernel(self, guide, window, form, valid_mask=None):
        """K (B, OH, OW, kh * kw, 1 or G), and the output mask or None; in float32 at least."""
        adapting, output_mask = self._adapting_phases(guide, window, form, valid_mask)
        return _join_phases(adapting, window), output_mask

    def windowed_sum(self, x, adapting_kernel, filter, window, bias=None, softmax=False):
        """y for a given K."""
        y = self._sum_phases(x, _split_phases(adapting_kernel, window), filter, window, bias)
        return ops.softmax(y, axis=-1) if softmax else y

    def guided_windowed_sum(self, x, guide, filter, window, form, bias=None, valid_mask=None):
        """y for the K of a guide, and the output mask or None."""
        adapting, output_mask = self._adapting_phases(guide, window, form, valid_mask)
        return self._sum_phases(x, adapting, filter, window, bias), output_mask

    def _adapting_phases(self, guide, window, form, valid_mask):
        """([(B, M, N, T, 1 or G), None for a phase without taps], output mask or None)."""
        guide = in_float32(guide)
        smoothed = form.smoothed(guide)
        guides = split(window.pad(guide), window.phase_counts, window.grid)
        centers = guides
        if smoothed is not None:
            centers = split(window.pad(smoothed), window.phase_counts, window.grid)
        counted = form.normalize or valid_mask is not None
        if counted:
            inside = window.pad(ops.ones((1, *window.input_size, 1), guide.dtype))
            valid = inside
            if valid_mask is not None:
                valid = window.pad(ops.cast(valid_mask, guide.dtype))
        all_adapting, masks = [None] * len(centers), [None] * len(centers)
        for numbers, phase in window.alike_phases():
            if not phase.tap_indices:
                continue
            count = len(numbers)
            center = _one_batch([centers[number] for number in numbers])
            if len(guides) == 1:
                # Without smoothing, `squared_differences` takes the centre from the guide.
                center = None if smoothed is None else slice_tap(center, phase.guide_taps.middle)
            distance = self._phases.squared_differences(
                _one_batch([guides[window.guide_phase]] * count),
                center,
                phase.guide_taps,
                form.asymmetric,
                form.channel_wise,
            )
            adapting = form.similarity(distance)
            if counted:
                in_image = gather_windows(inside, phase.input_taps)
                met = in_image
                if valid is not inside:
                    met = _one_batch([gather_windows(valid, phase.input_taps)] * count)
                adapting, mask = _divide_by_sum(adapting * met, met, in_image, form.normalize)
                for number, part in zip(numbers, _batches(mask, count)):
                    masks[number] = part
            for number, part in zip(numbers, _batches(adapting, count)):
                all_adapting[number] = part
        if valid_mask is None:
            return all_adapting, None
        output_mask = interleave(_fill_gaps(masks), window.phase_counts, window.output_size)
        return all_adapting, output_mask

    def _sum_phases(self, x, all_adapting, filter, window, bias):
        """y for the K of each phase."""
        padded = window.pad(x)
        shared = filter is not None and tuple(filter.shape[2:]) == (1, 1)
        if filter is not None:
            filter = ops.cast(filter, x.dtype)
            filter = ops.reshape(filter, (math.prod(window.kernel_size), *filter.shape[2:]))
        phases = list(window.phases())
        all_adapting = [a if a is None else ops.cast(a, x.dtype) for a in all_adapting]
        if shared:
            for number, phase in enumerate(phases):
                if phase.tap_indices:
                    weights = _entries(filter, phase.tap_indices)[:, 0]
                    all_adapting[number] = all_adapting[number] * weights
            filter = None
        groups = window.alike_phases()
        if filter is not None:  # of which alike phases have different taps
            groups = [((number,), phase) for number, phase in enumerate(phases)]
        sums = [None] * len(phases)
        for numbers, phase in groups:
            if not phase.tap_indices:
                continue
            y = self._phases.phase_sum(
                _one_batch([padded] * len(numbers)),
                _one_batch([all_adapting[number] for number in numbers]),
                filter if filter is None else _entries(filter, phase.tap_indices),
                phase.input_taps,
            )
            for number, part in zip(numbers, _batches(y, len(numbers))):
                sums[number] = part
        y = interleave(_fill_gaps(sums), window.phase_counts, window.output_size)
        return y if bias is None else y + ops.cast(bias, x.dtype)


TAPS = Portable(taps if keras.backend.backend() == "tensorflow" else slices)


def _one_batch(images):
    """Images of equal shape as one batch."""
    return images[0] if len(images) == 1 else ops.concatenate(images, axis=0)


def _batches(image, count):
    """The inverse of `_one_batch`."""
    return [image] if count == 1 else ops.split(image, count, axis=0)


def _entries(filter, tap_indices):
    """The taps (T, ...) of a filter (kh * kw, ...) that a phase has."""
    return filter if len(tap_indices) == filter.shape[0] else ops.take(filter, tap_indices, axis=0)


def _divide_by_sum(adapting, met, in_image, normalize):
    """(K divided by its sum or by the share of taps that count, mask: divisor is not 0).

    Args:
        adapting: (B, M, N, T, 1 or G), already 0 for taps that don't count.
        met: (B or 1, M, N, T, 1), how much each tap counts.
        in_image: (1, M, N, T, 1), 1 for the taps inside the image.
        normalize: bool.
    """
    if normalize:
        total = ops.sum(adapting, axis=3, keepdims=True)
    else:
        total = ops.sum(met, axis=3, keepdims=True)
        total = total / ops.maximum(ops.sum(in_image, axis=3, keepdims=True), 1)
    empty = total == 0
    adapting = ops.where(empty, 0, adapting / ops.where(empty, 1, total))
    return adapting, ops.cast(ops.any(ops.logical_not(empty), axis=-1), adapting.dtype)


def _fill_gaps(phases):
    """Phases that no tap reaches (None) as zeros of the shape of another one."""
    example = next(phase for phase in phases if phase is not None)
    return [ops.zeros_like(example) if phase is None else phase for phase in phases]


def _join_phases(all_adapting, window):
    """K [(B, M, N, T, ...) or None] of the phases as one (B, OH, OW, kh * kw, ...).

    Taps that a phase does not have are 0.
    """
    if len(all_adapting) == 1:
        return all_adapting[0]
    example = next(adapting for adapting in all_adapting if adapting is not None)
    zero = ops.zeros_like(example[:, :, :, 0])
    images = []
    for phase, adapting in zip(window.phases(), all_adapting):
        planes = [zero] * math.prod(window.kernel_size)
        for position, tap in enumerate(phase.tap_indices):
            planes[tap] = adapting[:, :, :, position]
        images.append(ops.stack(planes, axis=3))
    return interleave(images, window.phase_counts, window.output_size)


def _split_phases(adapting_kernel, window):
    """K (B, OH, OW, kh * kw, ...) as phases [(B, M, N, T, ...) or None]."""
    if window.phase_counts == (1, 1):
        return [adapting_kernel]
    images = split(adapting_kernel, window.phase_counts, window.grid)
    return [
        ops.take(image, phase.tap_indices, axis=3) if phase.tap_indices else None
        for phase, image in zip(window.phases(), images)
    ]

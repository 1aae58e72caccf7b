"""Where the taps of a window lie: sizes, padding and phases of (transposed) convolution.

A size is a Python int, or a scalar tensor where TensorFlow does not know it before the graph runs.

A transposed convolution of stride s writes s x s interleaved sub-images ("phases"). All pixels
of a phase see the same taps, and only those taps meet a real input pixel, so each phase is an
ordinary stride-1 window on the input. An ordinary convolution has one phase. The gradient by
the input of a strided convolution splits the same way.
"""

import dataclasses
from typing import NamedTuple

from keras import ops

from keras_pac.ops._geometry.images import pad


class AxisPhase(NamedTuple):
    """The taps that one phase of an axis sees, and where each lies."""

    taps: tuple
    input_offsets: tuple
    guide_offsets: tuple


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis of a window.

    Output m of a phase reads input and guide at `step * m + offset`, for the offset of each of the
    phase's taps; what lies outside is 0. The guide of a transposed convolution is split into phases
    as the output is, and all taps read its phase `guide_phase`.
    """

    before: object  # padding before the input (the zero-stuffed one, if transposed)
    padding: tuple  # (before, after) that `Window.pad` adds, where the offsets can't stand for it
    step: int
    phases: tuple  # of `AxisPhase`
    guide_phase: int
    grid: object  # outputs of one phase
    output_size: object


def convolution_axis(size, kernel_size, stride, padding, dilation):
    """`padding` is "valid", "same" or a (before, after) pair."""
    extent = dilation * (kernel_size - 1) + 1
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        padding = _same_padding(size, extent, stride)
    output_size = (size + padding[0] + padding[1] - extent) // stride + 1
    first, before = 0, padding[0]
    if isinstance(padding[0], int):
        # Offsets outside the image do what padding does, without a copy of the image.
        first, padding = -padding[0], (0, 0)
    offsets = tuple(first + dilation * tap for tap in range(kernel_size))
    return Axis(
        before=before,
        padding=padding,
        step=stride,
        phases=(AxisPhase(tuple(range(kernel_size)), offsets, offsets),),
        guide_phase=0,
        grid=output_size,
        output_size=output_size,
    )


def transposed_axis(size, kernel_size, stride, padding, output_padding, dilation):
    """`padding` is "valid", "same" or the (before, after) pixels cropped from the full output."""
    crop, extra = _transposed_crop(kernel_size, stride, padding, output_padding, dilation)
    # Tap t of output o looks at position o + t * dilation - start of the zero-stuffed input.
    start = (kernel_size - 1) * dilation - crop
    middle = dilation * (kernel_size // 2)
    guide_phase = (start - middle) % stride
    phases = []
    for phase in range(stride):
        taps = tuple(t for t in range(kernel_size) if (phase + t * dilation - start) % stride == 0)
        positions = [phase + tap * dilation for tap in taps]
        input_offsets = tuple((position - start) // stride for position in positions)
        guide_offsets = tuple((p - middle - guide_phase) // stride for p in positions)
        phases.append(AxisPhase(taps, input_offsets, guide_offsets))
    return Axis(
        before=start,
        padding=(0, 0),
        step=1,
        phases=tuple(phases),
        guide_phase=guide_phase,
        grid=size - 1 + -(-extra // stride),
        output_size=(size - 1) * stride + extra,
    )


def _same_padding(size, extent, stride):
    if stride == 1:
        total = extent - 1
    else:
        # No division of a negative number: in an ONNX file it would round towards zero.
        total = (size - 1) // stride * stride + extent - size
        total = max(total, 0) if isinstance(total, int) else ops.maximum(total, 0)
    return total // 2, total - total // 2


def _transposed_crop(kernel_size, stride, padding, output_padding, dilation):
    """(cropped before, output size - (input size - 1) * stride), as Keras defines them."""
    extent = dilation * (kernel_size - 1) + 1
    if padding not in ("valid", "same"):
        before, after = padding
        return before, extent - before - after + (output_padding or 0)
    if output_padding is not None:
        same = 2 * (extent // 2) if padding == "same" else 0
        extra = extent - same + output_padding
    elif padding == "valid":
        extra = max(extent, stride)
    else:
        extra = stride
    return max(extent - extra, 0) // 2 if padding == "same" else 0, extra


@dataclasses.dataclass(frozen=True)
class Taps:
    """The taps of one phase: output (m, n) reads steps * (m, n) + offsets, 0 outside the image."""

    row_offsets: tuple
    column_offsets: tuple
    steps: tuple
    grid: tuple

    @property
    def count(self):
        return len(self.row_offsets) * len(self.column_offsets)

    def only(self, tap):
        """One tap alone."""
        row, column = divmod(tap, len(self.column_offsets))
        return dataclasses.replace(
            self,
            row_offsets=(self.row_offsets[row],),
            column_offsets=(self.column_offsets[column],),
        )

    @property
    def middle(self):
        """The middle tap alone."""
        rows, columns = self.row_offsets, self.column_offsets
        return dataclasses.replace(
            self,
            row_offsets=(rows[len(rows) // 2],),
            column_offsets=(columns[len(columns) // 2],),
        )


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a window: its taps on input and guide."""

    tap_indices: tuple  # which of the kh * kw taps, row-major
    input_taps: Taps
    guide_taps: Taps


@dataclasses.dataclass(frozen=True)
class Window:
    """A (transposed) convolution window over images of one size."""

    input_size: tuple
    kernel_size: tuple
    strides: tuple
    dilation_rate: tuple
    transposed: bool
    rows: Axis
    columns: Axis

    @property
    def before(self):
        """The padding before the (zero-stuffed) input."""
        return self.rows.before, self.columns.before

    @property
    def output_size(self):
        return self.rows.output_size, self.columns.output_size

    @property
    def grid(self):
        return self.rows.grid, self.columns.grid

    @property
    def phase_counts(self):
        return len(self.rows.phases), len(self.columns.phases)

    @property
    def guide_phase(self):
        """Which of the guide's phases (row-major) the taps read."""
        return self.rows.guide_phase * len(self.columns.phases) + self.columns.guide_phase

    def pad(self, image):
        """Pad an input or a guide, so that the offsets of the taps fit."""
        return pad(image, self.rows.padding, self.columns.padding)

    def phases(self):
        """The phases in row-major order, also those that no tap reaches (they are zero)."""
        steps = self.rows.step, self.columns.step
        for rows in self.rows.phases:
            for columns in self.columns.phases:
                yield Phase(
                    tuple(r * self.kernel_size[1] + c for r in rows.taps for c in columns.taps),
                    Taps(rows.input_offsets, columns.input_offsets, steps, self.grid),
                    Taps(rows.guide_offsets, columns.guide_offsets, steps, self.grid),
                )

    def alike_phases(self):
        """Phases whose taps lie at the same offsets: [(their numbers, the first of them)]."""
        alike = {}
        for number, phase in enumerate(self.phases()):
            taps = phase.input_taps, phase.guide_taps
            offsets = tuple((each.row_offsets, each.column_offsets) for each in taps)
            alike.setdefault(offsets, []).append((number, phase))
        return [(tuple(number for number, _ in group), group[0][1]) for group in alike.values()]


def convolution_window(size, kernel_size, strides, padding, dilation_rate):
    """The window of a convolution over an image of `size` (height, width)."""
    padding = padding if isinstance(padding, tuple) else (padding, padding)
    rows, columns = map(convolution_axis, size, kernel_size, strides, padding, dilation_rate)
    return Window(size, kernel_size, strides, dilation_rate, False, rows, columns)


def transposed_window(size, kernel_size, strides, padding, output_padding, dilation_rate):
    """The window of a transposed convolution of an input image of `size` (height, width)."""
    padding = padding if isinstance(padding, tuple) else (padding, padding)
    output_padding = output_padding or (None, None)
    rows, columns = map(
        transposed_axis, size, kernel_size, strides, padding, output_padding, dilation_rate
    )
    return Window(size, kernel_size, strides, dilation_rate, True, rows, columns)

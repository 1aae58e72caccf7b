"""The windows of a gradient: which outputs read a pixel of the input.

Output i reads pixel s i + q_t by tap t. So pixel s i' + a, 0 <= a < s, is read by tap t only if s
divides a - q_t, and then by output i' + r_t, r_t = (a - q_t) / s. The pixels of equal a ("phase")
are read by the same taps, and the outputs that read them are windows again.
"""

import dataclasses

from keras import ops

from keras_pac.ops._geometry.blocks import Gather, image_by_rows
from keras_pac.ops._geometry.images import pad
from keras_pac.ops._geometry.window import Taps


@dataclasses.dataclass(frozen=True)
class Adjoint:
    """The outputs that read the pixels of one phase of an input image."""

    position: tuple  # (a, b), the phase's first pixel
    steps: tuple
    tap_ids: tuple  # the taps that read this phase
    taps: Taps  # on the outputs; its grid is that of the phase
    back: Taps  # the reverse: from an output to the pixels of the phase

    def phase_of(self, image):
        """The pixels of this phase: (B, I, J, C)."""
        if self.steps == (1, 1):
            return image
        (i, j), (si, sj), (a, b) = self.taps.grid, self.steps, self.position
        _, height, width, _ = ops.shape(image)
        return pad(image, (0, i * si - height), (0, j * sj - width))[:, a::si, b::sj]

    def to_outputs(self, values):
        """Move (B, I, J, T, C) of a pixel and tap t to the output whose tap t reads that pixel."""
        gather = Gather(self.back)

        def move(block, values):
            return gather.entries(values, range(len(self.tap_ids)), block)

        return image_by_rows(move, self.back, values.shape[-1], values)


def adjoints(taps, size):
    """The adjoint of `taps` for each phase of an image of `size`, in row-major order."""
    (height, width), (row_step, column_step) = size, taps.steps
    for a in range(row_step):
        row_reads = _reads(taps.row_offsets, row_step, a)
        row_shifts = [shift for _, shift in row_reads]
        for b in range(column_step):
            column_reads = _reads(taps.column_offsets, column_step, b)
            column_shifts = [shift for _, shift in column_reads]
            yield Adjoint(
                position=(a, b),
                steps=taps.steps,
                tap_ids=tuple(
                    t * len(taps.column_offsets) + u for t, _ in row_reads for u, _ in column_reads
                ),
                taps=Taps(
                    tuple(row_shifts),
                    tuple(column_shifts),
                    (1, 1),
                    (-(-height // row_step), -(-width // column_step)),
                ),
                back=Taps(
                    tuple(-shift for shift in row_shifts),
                    tuple(-shift for shift in column_shifts),
                    (1, 1),
                    taps.grid,
                ),
            )


def _reads(offsets, step, phase):
    """Which taps read the pixels of a phase, and from which output: [(t, r_t)]."""
    return [
        (tap, (phase - offset) // step)
        for tap, offset in enumerate(offsets)
        if (phase - offset) % step == 0
    ]

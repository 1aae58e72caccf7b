"""The windows of a gradient: which outputs read a pixel of the input.

Output i reads pixel s i + q_t by tap t. So pixel s i' + a, 0 <= a < s, is read by tap t only if s
divides a - q_t, and then by output i' + r_t, r_t = (a - q_t) / s. The pixels of equal a ("phase")
are read by the same taps, and the outputs that read them are windows again.
"""

import dataclasses

from keras import ops

from keras_pac.ops.blocks import Gather, by_rows, to_image
from keras_pac.ops.window import Taps, pad


@dataclasses.dataclass(frozen=True)
class Adjoint:
    """The outputs that read the pixels of one phase of an input image."""

    position: tuple  # (a, b), the phase's first pixel
    steps: tuple
    tap_ids: tuple  # the taps that read this phase
    padding: tuple  # (rows, columns), of the outputs
    taps: Taps  # on the padded outputs; its grid is that of the phase
    back: Taps  # the same from an output to the pixels of the phase

    def phase_of(self, image):
        """The pixels of this phase: (B, I, J, C)."""
        if self.steps == (1, 1):
            return image
        (i, j), (si, sj), (a, b) = self.taps.grid, self.steps, self.position
        _, height, width, _ = ops.shape(image)
        return pad(image, (0, i * si - height), (0, j * sj - width))[:, a::si, b::sj]

    def pad(self, outputs):
        return pad(outputs, *self.padding)

    def to_outputs(self, values):
        """(B, I, J, T, C), for a pixel and its tap t, at the output whose tap t reads it."""
        gather = Gather(self.back, ops.shape(values)[2])

        def move(block, values):
            return (gather.entries(values, range(len(self.tap_ids)), block),)

        (rows,) = by_rows(move, self.back, values.shape[-1], values)
        return to_image(rows, self.back.grid)


def adjoints(taps, size):
    """The adjoint of `taps` for each phase of an image of `size`, in row-major order."""
    rows = _axis(taps.row_offsets, taps.steps[0], taps.grid[0], size[0])
    columns = list(_axis(taps.column_offsets, taps.steps[1], taps.grid[1], size[1]))
    for a, row_reads, row_padding, i in rows:
        for b, column_reads, column_padding, j in columns:
            row_shifts = [shift for _, shift in row_reads]
            column_shifts = [shift for _, shift in column_reads]
            yield Adjoint(
                position=(a, b),
                steps=taps.steps,
                tap_ids=tuple(
                    t * len(taps.column_offsets) + u for t, _ in row_reads for u, _ in column_reads
                ),
                padding=(row_padding, column_padding),
                taps=Taps(
                    tuple(shift + row_padding[0] for shift in row_shifts),
                    tuple(shift + column_padding[0] for shift in column_shifts),
                    (1, 1),
                    (i, j),
                ),
                back=Taps(
                    tuple(-shift for shift in row_shifts),
                    tuple(-shift for shift in column_shifts),
                    (1, 1),
                    taps.grid,
                ),
            )


def _axis(offsets, step, outputs, size):
    """For each phase a: (a, [(tap, r)], padding of the outputs, number of pixels)."""
    pixels = -(-size // step)
    after = pixels - outputs
    after = max(after, 0) if isinstance(after, int) else ops.maximum(after, 0)
    for phase in range(step):
        reads = [
            (tap, (phase - offset) // step)
            for tap, offset in enumerate(offsets)
            if (phase - offset) % step == 0
        ]
        before = -min((shift for _, shift in reads), default=0)
        yield phase, reads, (before, after), pixels

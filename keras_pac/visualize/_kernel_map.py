"""The adapting kernels of one call of a layer, and where their windows lie."""

import dataclasses
import itertools

import numpy as np

from keras_pac.visualize._watched import as_array


@dataclasses.dataclass(frozen=True)
class KernelMap:
    """The adapting kernels of an image, in NumPy.

    Args:
        name: str, that of the layer.
        kernels: masked array (OH, OW, kh, kw); taps that meet no pixel of the input are masked.
        picture: array (H, W, G), the guide, or x where K was given. Places are in its pixels.
        first: (row, column) of the centre of the window of output (0, 0).
        step: (rows, columns) from one output to the next.
        reach: (rows, columns) from the centre of a window to its last tap.
    """

    name: str
    kernels: np.ma.MaskedArray
    picture: np.ndarray
    first: tuple
    step: tuple
    reach: tuple

    @classmethod
    def of(cls, layer, adapting, x, guide, window):
        """From what `layer._adapting_kernel` returns."""
        adapting, picture = as_array(adapting), as_array(x if guide is None else guide)
        kernels = adapting.mean(-1).reshape(*adapting.shape[:2], *window.kernel_size)
        rows, columns = (
            _meets(axis, size, taps)
            for axis, size, taps in zip(
                (window.rows, window.columns), window.input_size, window.kernel_size
            )
        )
        meets = rows[:, None, :, None] & columns[None, :, None, :]
        kernels = np.ma.masked_array(kernels, ~(meets & np.isfinite(kernels)))
        step, scale = window.strides, (1, 1)
        if window.transposed:  # the window moves by a pixel of the output, 1 / stride of x
            step, scale = (1, 1), window.strides
        reach = tuple(d * (k // 2) for d, k in zip(window.dilation_rate, window.kernel_size))
        first = tuple(r - before for r, before in zip(reach, window.before))
        if window.transposed and guide is not None:  # which has the size of the output
            first, scale = (0, 0), (1, 1)
        places = (tuple(n / s for n, s in zip(pair, scale)) for pair in (first, step, reach))
        return cls(layer.name, kernels, picture, *places)

    @property
    def size(self):
        """(OH, OW)."""
        return self.kernels.shape[:2]

    def center(self, output):
        """Where in the guide the window of an output pixel has its centre."""
        return tuple(f + s * o for f, s, o in zip(self.first, self.step, output))

    def output_at(self, place):
        """The output pixel whose window has its centre nearest to a place in the guide."""
        outputs = (round((p - f) / s) for p, f, s in zip(place, self.first, self.step))
        return tuple(min(max(o, 0), size - 1) for o, size in zip(outputs, self.size))

    def most_varied(self):
        """In each quarter of the output, the pixel whose kernel has the largest deviation.

        A margin of an eighth is left out: where a network pads, its features have edges.
        """
        deviation = self.kernels.std((2, 3)).filled(-1)
        halves = ([(n // 8, -(-n // 2)), (-(-n // 2), n - n // 8)] for n in self.size)
        outputs = []
        for (top, bottom), (left, right) in itertools.product(*halves):
            quarter = deviation[top:bottom, left:right]
            if quarter.size:
                row, column = divmod(int(quarter.argmax()), quarter.shape[1])
                outputs.append((top + row, left + column))
        return outputs


def _meets(axis, size, taps):
    """(outputs, taps): whether each tap meets a pixel of the input along an axis.

    Those beyond its border do not, nor those on the zeros that a transposed convolution inserts.
    """
    meets = np.zeros((axis.output_size, taps), bool)
    for output in range(axis.output_size):
        place, number = divmod(output, len(axis.phases))
        phase = axis.phases[number]
        for tap, offset in zip(phase.taps, phase.input_offsets):
            meets[output, tap] = 0 <= axis.step * place + offset < size
    return meets

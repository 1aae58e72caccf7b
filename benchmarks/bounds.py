"""The least time that a case can take on this machine, whatever the code.

A layer must move its tensors once and do its arithmetic once. So its time is at least the larger of

    bytes of all tensors / rate of memory
    multiplications with an addition / rate of matrix products + exponentials / their rate

Rates are those of the backend's own functions on large arrays, measured here; for exponentials,
that of NumPy's vector instructions on one core, times the cores. What counts:

- memory: forward x, guide, filter and y; a training step reads the first three and the upstream
  gradient, and writes y and the gradients of x, guide and filter.
- the sum over the window, for every output: with a full filter `taps * channels * filters`, and as
  many for its gradients by x and by the filter; without one `taps * channels`, and as many for
  those by x and by K.
- K times x, with a full filter: `taps * channels`, or `taps * filters` where there are fewer
  filters. The gradients by x and by K take as many.
- squared distances: `taps * guide_channels`, half of that where a pixel and its neighbour are each
  in the other's window: their K is the same. The gradient by the guide takes as many.
- one exponential a tap, likewise; the inverse kernel takes a logarithm as well.

What else a layer does (the sum of K for normalisation, smoothing) is small beside this.
"""

import os
import time

import numpy as np
from keras import ops

from benchmarks import backends


def rates():
    """{"bytes", "products" and "exponentials": how many a second}, float32."""
    large, square = ops.ones((4096, 4096), "float32"), ops.ones((2048, 2048), "float32")
    cached, result = np.zeros((2, 1 << 14), "float32")
    exponentials = cached.size / _shortest(lambda: np.exp(cached, out=result), 100)
    return {
        "bytes": 2 * 4 * 4096**2 / _shortest(lambda: large + 1.0),
        "products": 2048**3 / _shortest(lambda: ops.matmul(square, square)),
        "exponentials": exponentials * os.cpu_count(),
    }


def _shortest(call, repeats=10):
    wait, times = backends.current().wait, []
    for _ in range(repeats):
        start = time.perf_counter()
        wait(call())
        times.append(time.perf_counter() - start)
    return min(times)


def lower_bound_ms(case, rates):
    """{"forward_ms", "training_step_ms"} of a PAC layer, at least."""
    full = case.layer != "PacPool2D" and not case.options.get("shared_filters")
    outputs = np.prod(case.output_shape[:3])
    window = case.kernel_size**2 / (case.strides**2 if case.transposed else 1)
    taps = outputs * window
    # Pairs of pixels whose K is computed once.
    pairs = taps / 2 if case.strides == 1 and not case.options.get("smoothing") else taps
    distances = pairs * case.guide_channels
    exponentials = pairs * (2 if case.options.get("kernel_type") == "inverse" else 1)

    products = taps * case.channels * (case.filters if full else 1)
    modulation = taps * min(case.channels, case.filters) if full else 0
    weights = case.kernel_size**2 * case.channels * case.filters if full else 0
    x, guide, y = (
        np.prod(shape) for shape in (case.input_shape, case.guide_shape, case.output_shape)
    )
    size = 4 if case.dtype == "float32" else 2

    def milliseconds(numbers, multiplications):
        memory = size * numbers / rates["bytes"]
        arithmetic = multiplications / rates["products"] + exponentials / rates["exponentials"]
        return 1000 * float(max(memory, arithmetic))

    return {
        "forward_ms": milliseconds(x + guide + y + weights, products + modulation + distances),
        "training_step_ms": milliseconds(
            2 * (x + guide + y + weights),
            3 * products + 3 * modulation + 2 * distances,
        ),
    }

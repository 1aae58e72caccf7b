"""Time calls on a small image, where the work before and after the kernel is what takes time.

The layers of one case run in turn in this process, eagerly and inside a graph function (on JAX
inside `jax.jit`; PyTorch has no other way than eagerly), after warm-up; the medians count.
"""

import argparse

import numpy as np
from keras import ops

from benchmarks import backends
from benchmarks.suite import Case
from benchmarks.timing import add_timing_options, keras_layer, median_ms, pac_layer, traced

CASE = Case("small", 1, 16, 16, 8, 8, guide_channels=8, kernel_size=3)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_calls", description=__doc__)
    add_timing_options(parser)
    options = parser.parse_args(argv)
    random = np.random.default_rng(0)
    x, guide = (
        ops.convert_to_tensor(random.standard_normal(shape), "float32")
        for shape in (CASE.input_shape, CASE.guide_shape)
    )
    plain, pac = keras_layer(CASE), pac_layer(CASE)
    print(f"One call on an image of {CASE.height}x{CASE.width}x{CASE.channels}, microseconds\n")
    for label, wrap in (
        ("eagerly", lambda layer: layer),
        ("in a function", backends.current().forward),
    ):
        calls = {"keras": traced("auto", wrap(plain), x)}
        for name in options.implementations:
            calls[name] = traced(name, wrap(pac), [x, guide])
        times = median_ms(calls, 20 * options.repeats)
        print(f"{label:<15}", *(f"{name:>10} {1000 * ms:6.0f}" for name, ms in times.items()))


if __name__ == "__main__":
    main()

"""Time mean-field inference with `PacCRF` on one image, next to that of a Full-CRF.

The call that is measured takes label logits and an image, computes the position-colour features,
their adapting kernels and all steps, in a graph function without XLA. For each CRF all
implementations run in turn in this process, after warm-up; the medians count.
"""

import argparse

import numpy as np
import tensorflow as tf

from benchmarks.timing import add_timing_options, cpu_model, median_ms, traced
from keras_pac import PacCRF
from keras_pac.ops import position_color_features

CLASSES, STEPS = 21, 5
KERNEL = {"kernel_size": 5, "dilation_rate": 16}
CRFS = {name: [{**KERNEL, "compatibility": name}] for name in ("potts", "2d", "4d")}
CRFS["4d, dilations 16 and 64"] = [*CRFS["4d"], {**CRFS["4d"][0], "dilation_rate": 64}]
# A DenseCRF on the permutohedral lattice, 5 steps and 21 classes, takes 0.12 s for 240 x 320
# pixels on one core of such a processor; its time is linear in pixels.
FULL_CRF_MS, FULL_CRF_PIXELS = 120, 240 * 320


def main(argv=None, size=(375, 500)):
    options = parse_arguments(argv)
    height, width = size
    full_crf = FULL_CRF_MS * height * width / FULL_CRF_PIXELS
    print(
        f"PacCRF on one image of {height}x{width} pixels: {CLASSES} classes, {STEPS} steps, 5x5, "
        f"dilation 16 where not said, on {cpu_model()}.\n"
        f"For scale: a Full-CRF (DenseCRF on the permutohedral lattice) takes about "
        f"{full_crf:.1f} ms on one core,\nfrom {FULL_CRF_MS} ms for 240x320 pixels, with the time "
        "linear in pixels. In brackets: times the Full-CRF.\n"
    )
    print_row("", options.implementations)
    for name, kernels in CRFS.items():
        times = measure(kernels, size, options.implementations, options.repeats)
        print_row(name, [f"{ms:.1f} ms ({ms / full_crf:.2f})" for ms in times.values()])


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crf", description=__doc__)
    add_timing_options(parser, candidates=("taps", "compiled"))
    return parser.parse_args(argv)


def measure(kernels, size, implementations, repeats):
    """Return {implementation: milliseconds for an image of `size` (height, width)}."""
    random = np.random.default_rng(0)
    unary = tf.constant(random.standard_normal((1, *size, CLASSES)), "float32")
    image = tf.constant(random.random((1, *size, 3)), "float32")
    runs = {name: traced(name, inference(kernels), unary, image) for name in implementations}
    return median_ms(runs, repeats)


def inference(kernels):
    """Return a graph function of label logits and an image in [0, 1]."""
    crf = PacCRF(kernels, steps=STEPS)

    @tf.function(jit_compile=False)
    def run(unary, image):
        # The squared distance of two pixels is about 2: K is neither 0 nor 1 throughout.
        return crf([unary, position_color_features(image, position_scale=100, color_scale=0.5)])

    return run


def print_row(label, cells):
    print(f"{label:<24}", *(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

"""Time mean-field inference with `PacCRF` on one image, next to that of a Full-CRF.

The call that is measured takes label logits and an image, computes the position-colour features,
their adapting kernels and all steps, in a graph function without XLA; with gradients, those by the
logits, the image and all weights too. The Full-CRF (a DenseCRF on the permutohedral lattice, of the
package pydensecrf) gets the same logits and image, does as many steps and runs on one core. For
each CRF all run in turn in this process, after warm-up; the medians count.
"""

import argparse

import numpy as np
import tensorflow as tf

from benchmarks.timing import add_timing_options, cpu_model, median_ms, traced
from examples.segmentation.refinement import full_crf_inference
from keras_pac import PacCRF
from keras_pac.ops import position_color_features

CLASSES, STEPS = 21, 5
KERNEL = {"kernel_size": 5, "dilation_rate": 16}
CRFS = {name: [{**KERNEL, "compatibility": name}] for name in ("potts", "2d", "4d")}
CRFS["4d, dilations 16 and 64"] = [*CRFS["4d"], {**CRFS["4d"][0], "dilation_rate": 64}]
# The squared distance of two pixels is about 2: K is neither 0 nor 1 throughout.
SCALES = {"position_scale": 100, "color_scale": 0.5}
FULL_CRF = "Full-CRF"


def main(argv=None, size=(375, 500)):
    options = parse_arguments(argv)
    random = np.random.default_rng(0)
    unary, image = (random.random((1, *size, channels), "float32") for channels in (CLASSES, 3))
    full_crf = full_crf_of(unary, image)
    print(
        f"PacCRF on one image of {size[0]}x{size[1]} pixels: {CLASSES} classes, {STEPS} steps, "
        f"5x5, dilation 16 where not said, on {cpu_model()}.\n"
        + (
            "In brackets: times the Full-CRF on one core, which ran in turn with it.\n"
            if full_crf
            else "The package pydensecrf is not installed: there is no Full-CRF beside it.\n"
        )
    )
    names = options.implementations
    print_row(
        "", [*names, *(f"{name}, gradients" for name in names), *([FULL_CRF] * bool(full_crf))]
    )
    for label, kernels in CRFS.items():
        tensors = tf.constant(unary), tf.constant(image)
        # Functions of their own for each: a graph keeps the implementation it was traced with.
        functions = {name: inference(kernels) for name in names}
        runs = {name: traced(name, forward, *tensors) for name, (forward, _) in functions.items()}
        if full_crf:
            runs[FULL_CRF] = full_crf
        times = median_ms(runs, options.repeats)
        full = times.pop(FULL_CRF, None)
        steps = {name: traced(name, step, *tensors) for name, (_, step) in functions.items()}
        cells = [f"{ms:.1f} ms" + (f" ({ms / full:.2f})" if full else "") for ms in times.values()]
        # Few repeats are enough for what takes so long.
        cells += [f"{ms:.1f} ms" for ms in median_ms(steps, 3).values()]
        print_row(label, [*cells, *([f"{full:.1f} ms"] if full else [])])


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crf", description=__doc__)
    add_timing_options(parser, candidates=("taps", "compiled"))
    return parser.parse_args(argv)


def inference(kernels):
    """Graph functions of label logits and an image in [0, 1]: inference, and with gradients."""
    crf = PacCRF(kernels, steps=STEPS)

    @tf.function(jit_compile=False)
    def forward(unary, image):
        return crf([unary, position_color_features(image, **SCALES)])

    @tf.function(jit_compile=False)
    def step(unary, image):
        with tf.GradientTape() as tape:
            tape.watch([unary, image])
            y = forward(unary, image)
        return tape.gradient(y, [unary, image, *(weight.value for weight in crf.weights)])

    return forward, step


def full_crf_of(unary, image):
    """The inference of a Full-CRF with these arrays as a function; None if it isn't installed."""
    scales = {
        "position_scale": SCALES["position_scale"],
        "color_scale": 255 * SCALES["color_scale"],
    }
    try:
        return full_crf_inference(
            -unary[0], (255 * image[0]).astype("uint8"), **scales, steps=STEPS
        )
    except ImportError:
        return None


def print_row(label, cells):
    print(f"{label:<24}", *(f"{cell:>20}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

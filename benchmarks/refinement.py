"""Time `PixelAdaptiveRefinement` and its memory, next to a plain implementation of PAMR.

The plain one stacks all neighbours of image and mask, as usual where PAMR is copied from project to
project; it is written in `keras.ops`, too. All run in turn in this process, in a graph function
without XLA; the medians count. Memory is the most that TensorFlow's allocator holds in a call.
"""

import argparse
import functools

import numpy as np
import tensorflow as tf
from keras import ops

import keras_pac
from benchmarks.memory import peak_mib
from benchmarks.timing import add_timing_options, cpu_model, median_ms
from keras_pac.layers import PixelAdaptiveRefinement

LABELS, DILATION_RATES, ITERATIONS = 21, (1, 2, 4, 8, 12, 24), 10


def main(argv=None, size=(320, 320)):
    options = parse_arguments(argv)
    random = np.random.default_rng(0)
    arrays = [random.random((1, *size, channels), "float32") for channels in (LABELS, 3)]
    layer = PixelAdaptiveRefinement(DILATION_RATES, ITERATIONS, data_format="channels_last")
    functions = {"plain": plain}
    for name in options.implementations:
        functions[name] = functools.partial(with_implementation, name, layer)
    graphs = {name: tf.function(each, jit_compile=False) for name, each in functions.items()}
    tensors = [tf.constant(array) for array in arrays]
    runs = {name: functools.partial(graph, *tensors) for name, graph in graphs.items()}
    times = median_ms(runs, options.repeats)
    print(
        f"PAMR of one image of {size[0]}x{size[1]} pixels: {LABELS} labels, {ITERATIONS} "
        f"iterations, dilations {DILATION_RATES}, on {cpu_model()}.\n"
        "In brackets: times the plain implementation.\n"
    )
    memory = {name: peak_mib(function, arrays) for name, function in functions.items()}
    for name in functions:
        time, mib = times[name] / times["plain"], memory[name] / memory["plain"]
        print(
            f"{name:<10}{times[name]:>10.1f} ms ({time:.2f}){memory[name]:>10.0f} MiB ({mib:.2f})"
        )


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refinement", description=__doc__)
    add_timing_options(parser, candidates=("taps", "compiled"))
    return parser.parse_args(argv)


def with_implementation(name, layer, mask, image):
    with keras_pac.implementation(name):
        return layer([mask, image])


def plain(mask, image):
    """PAMR with all neighbours in one tensor (B, H, W, C, neighbours)."""
    seen = neighbours(image)
    center = ops.expand_dims(image, -1)
    every = ops.concatenate([seen] + [center] * len(DILATION_RATES), axis=-1)
    count = every.shape[-1]
    deviation = ops.std(every, axis=-1, keepdims=True) * (count / (count - 1)) ** 0.5
    distance = ops.mean(ops.abs(seen - center) / (1e-8 + 0.1 * deviation), axis=3, keepdims=True)
    weights = ops.softmax(-distance, axis=-1)
    for _ in range(ITERATIONS):
        mask = ops.sum(weights * neighbours(mask), axis=-1)
    return mask


def neighbours(image):
    """The 8 neighbours of every pixel at every dilation."""
    height, width = image.shape[1:3]
    seen = []
    for rate in DILATION_RATES:
        rows, columns = (
            [np.clip(np.arange(size) + step * rate, 0, size - 1) for step in (-1, 0, 1)]
            for size in (height, width)
        )
        for i, j in [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]:
            seen.append(ops.take(ops.take(image, rows[i], axis=1), columns[j], axis=2))
    return ops.stack(seen, axis=-1)


if __name__ == "__main__":
    main()

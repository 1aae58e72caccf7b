"""Windowed sums that add an image and end with a softmax, on whatever backend Keras has."""

from keras import ops

import keras_pac
from keras_pac.ops._geometry.window import convolution_window, transposed_window
from keras_pac.ops._implementations import current

# Kind: (channels of the filter, values of K); channels stand for those of x.
KINDS = {
    "full": (lambda channels: (channels, 5), 1),
    "narrowing": (lambda channels: (4, channels), 1),
    "shared": (lambda channels: (1, 1), 1),
    "pooling": (None, 1),
    "channel-wise": (None, 0),
    "transposed": (lambda channels: (channels, channels), 1),
}
DTYPES = ["float64", "float32", "float16", "bfloat16"]
# (channels, type): vectors of all lengths, and what is left over.
CASES = [*((channels, "float32") for channels in (2, 17, 21, 33)), *((3, each) for each in DTYPES)]


def problem(kind, channels, rng, batch=2, size=(5, 6)):
    """(window, {name: array}) of a sum with an image; `upstream` weighs its results."""
    make_filter, values = KINDS[kind]
    window = convolution_window(size, (3, 5), (1, 1), "same", (2, 1))
    if kind == "transposed":
        window = transposed_window(size, (3, 5), (2, 1), "same", None, (1, 1))
    ends = None if make_filter is None else make_filter(channels)
    inputs = ends[0] if kind == "narrowing" else channels
    outputs = channels if ends is None or ends == (1, 1) else ends[1]
    image = (batch, *window.output_size)
    shapes = {
        "x": (batch, *size, inputs),
        "adapting_kernel": (*image, 15, values or channels),
        "bias": (*image, outputs),
        "upstream": (*image, outputs),
    }
    if ends is not None:
        shapes["filter"] = (3, 5, *ends)
    return window, {name: rng.normal(size=shape) for name, shape in shapes.items()}


def windowed_sum(implementation, window, tensors, softmax=True):
    """y by an implementation."""
    with keras_pac.implementation(implementation):
        return current().windowed_sum(
            *(tensors.get(name) for name in ("x", "adapting_kernel", "filter")),
            window,
            bias=tensors["bias"],
            softmax=softmax,
        )


def rounded(arrays, dtype):
    """The values of arrays in a type, in float64."""
    return {
        name: ops.convert_to_numpy(ops.cast(ops.cast(array, dtype), "float64"))
        for name, array in arrays.items()
    }

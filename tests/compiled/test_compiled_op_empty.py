"""The compiled op with nothing in its images: TensorFlow gives such tensors no memory."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac.ops._implementations import library
from tests.support.compiled_op import GIVEN, INVERSE, KERNEL, SUM, absent, needs_op, ones

pytestmark = needs_op

SIZES = {
    "no batch": {"batch": 0, "input": (5, 4), "output": (5, 4), "padding": (1, 1)},
    "no rows": {"batch": 2, "input": (0, 4), "output": (0, 4), "padding": (1, 1)},
    "no columns": {"batch": 2, "input": (5, 0), "output": (5, 0), "padding": (1, 1)},
    "no input, but an output": {"batch": 2, "input": (0, 4), "output": (2, 4), "padding": (2, 1)},
    "no output": {"batch": 2, "input": (5, 4), "output": (0, 4), "padding": (0, 1)},
}
SUMS = {
    "guide": SUM,
    "inverse": INVERSE,
    "K": GIVEN,
    "shared": {**SUM, "filter": ones(3, 3, 1, 1), "bias": absent()},
    "pooling": {**SUM, "filter": absent(), "bias": absent()},
}
CHANNEL_WISE = {
    "channel_wise": True,
    "kernel_type": "inverse",
    "alpha": ones(2),
    "exponent": ones(2),
}
KERNELS = {
    "plain": KERNEL,
    "masked": {**KERNEL, "valid_mask": ones(2, 5, 4, 1)},
    "normalized": {**KERNEL, "normalize": True, "center": ones(2, 5, 4, 2)},
    "channel-wise": {**KERNEL, **CHANNEL_WISE},
}


def resized(arguments, size):
    """The arguments of an op for images of another size."""
    arguments = dict(arguments)
    for name, area in (
        ("x", "input"),
        ("guide", "input"),
        ("center", "input"),
        ("valid_mask", "input"),
        ("adapting_kernel", "output"),
    ):
        if np.size(arguments.get(name, [])):
            arguments[name] = ones(size["batch"], *size[area], *arguments[name].shape[3:])
    for name in ("input", "output"):
        if f"{name}_size" in arguments:
            arguments[f"{name}_size"] = tf.constant(size[name], tf.int64)
    arguments["padding"] = tf.constant(size["padding"], tf.int64)
    return arguments


def check_gradients(gradients, arguments):
    """Each has the shape of its input, and is zero."""
    for name, gradient in gradients._asdict().items():
        assert gradient.shape == np.shape(arguments[name.removesuffix("_gradient")]), name
        assert not np.any(gradient), name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", SUMS)
def test_windowed_sum(kind, size):
    size = SIZES[size]
    arguments = resized(SUMS[kind], size)
    y = library.load().keras_pac_windowed_sum(**arguments)
    channels = 3 if kind in ("shared", "pooling") else 6
    assert y.shape == (size["batch"], *size["output"], channels)
    # Where nothing is summed, the bias remains.
    assert np.all(y == (0 if kind in ("shared", "pooling") else 1))
    gradients = library.load().keras_pac_windowed_sum_grad(
        **arguments, upstream=np.zeros(y.shape, "float32")
    )
    check_gradients(gradients, arguments)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KERNELS)
def test_adapting_kernel(kind, size):
    size = SIZES[size]
    arguments = resized(KERNELS[kind], size)
    kernel, mask = library.load().keras_pac_adapting_kernel(**arguments)
    image = (size["batch"], *size["output"])
    assert kernel.shape == (*image, 9, 2 if kind == "channel-wise" else 1)
    assert mask.shape == ((*image, 1) if kind == "masked" else (0,))
    gradients = library.load().keras_pac_adapting_kernel_grad(
        **arguments, upstream=np.zeros(kernel.shape, "float32")
    )
    check_gradients(gradients, {**arguments, "alpha": arguments.get("alpha", absent())})


LAYERS = {
    "convolution": lambda: keras_pac.PacConv2D(
        4, 3, padding="same", kernel_type="inverse", alpha=0.5, exponent=0.5, trainable_kernel=True
    ),
    "shared": lambda: keras_pac.PacConv2D(3, 3, padding="same", shared_filters=True),
    "transposed": lambda: keras_pac.PacConv2DTranspose(4, 3, strides=2, padding="same"),
    "pooling": lambda: keras_pac.PacPool2D(3, padding="same", normalize_kernel=True),
}


@pytest.mark.parametrize("shape", [(0, 5, 4), (2, 0, 4)], ids=["no batch", "no rows"])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind, shape):
    """Sizes are unknown while the graph is made, as in `fit` with a last batch of another size."""
    scale = 2 if kind == "transposed" else 1
    with keras_pac.implementation("compiled"):
        layer = LAYERS[kind]()
        layer.build([(None, None, 4, 3), (None, None, 4 * scale, 2)])

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, None, 4, 3)),
                tf.TensorSpec((None, None, 4 * scale, 2)),
            ]
        )
        def step(x, guide):
            with tf.GradientTape() as tape:
                tape.watch((x, guide))
                y = layer([x, guide])
            sources = [x, guide, *layer.trainable_variables]
            return y, tape.gradient(y, sources)

        batch, height, width = shape
        x = ones(*shape, 3)
        guide = ones(batch, scale * height, scale * width, 2)
        y, gradients = step(x, guide)
    channels = 4 if kind in ("convolution", "transposed") else 3
    assert y.shape == (batch, scale * height, scale * width, channels)
    for gradient, source in zip(gradients, [x, guide, *layer.trainable_variables]):
        assert gradient.shape == source.shape
        assert not np.any(gradient)

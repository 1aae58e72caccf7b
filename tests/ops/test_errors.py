"""Bad input of a function gets a ValueError that states the rule and what was received.

Every case runs eagerly, in a `tf.function`, and with symbolic tensors.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import ops
from tests.support.errors import GUIDE, K, X, refused, specified, zeros

KERNEL = (3, 3, 3, 5)

OPS = {
    "even kernel size": (lambda g: ops.adapting_kernel(g, 4), [GUIDE], "odd", "kernel_size=4"),
    "zero kernel size": (
        lambda g: ops.adapting_kernel(g, 0),
        [GUIDE],
        "kernel_size",
        "kernel_size=0",
    ),
    "even pooling": (
        lambda x, k: ops.pac_pool2d(x, k, 2),
        [X, (2, 6, 8, 4)],
        "odd",
        "kernel_size=2",
    ),
    "even filter": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [X, (2, 6, 8, 4), (2, 2, 3, 5)],
        "odd",
        "(2, 2)",
    ),
    "guide of rank 3": (
        lambda g: ops.adapting_kernel(g, 3),
        [(7, 9, 4)],
        "4 dimensions",
        "(7, 9, 4)",
    ),
    "unknown kind": (
        lambda g: ops.adapting_kernel(g, 3, kind="laplace"),
        [GUIDE],
        "one of ('gaussian', 'inverse')",
        "laplace",
    ),
    "negative exponent": (
        lambda g: ops.adapting_kernel(g, 3, kind="inverse", alpha=0.1, exponent=-1.0),
        [GUIDE],
        "at least 0",
        "exponent=-1.0",
    ),
    "vector alpha": (
        lambda g, a: ops.adapting_kernel(g, 3, kind="inverse", alpha=a, exponent=0.5),
        [GUIDE, (4,)],
        "alpha",
        "(4,)",
    ),
    "vector alpha of another length": (
        lambda g, a: ops.adapting_kernel(
            g, 3, kind="inverse", alpha=a, exponent=0.5, channel_wise=True
        ),
        [GUIDE, (3,)],
        "alpha",
        "(3,)",
    ),
    "even smoothing": (
        lambda g, s: ops.adapting_kernel(g, 3, smoothing=s),
        [GUIDE, (4, 4)],
        "odd",
        "(4, 4)",
    ),
    "oblong smoothing": (
        lambda g, s: ops.adapting_kernel(g, 3, smoothing=s),
        [GUIDE, (3, 5)],
        "(n, n)",
        "(3, 5)",
    ),
    "output padding without a transposed window": (
        lambda g: ops.adapting_kernel(g, 3, output_padding=1),
        [GUIDE],
        "transposed",
        "output_padding=1",
    ),
    "guide that no input gives": (
        lambda g: ops.adapting_kernel(g, 3, strides=2, padding="same", transposed=True),
        [GUIDE],
        "guide",
        "(7, 9)",
    ),
    "mask of another size": (
        lambda g, m: ops.adapting_kernel(g, 3, valid_mask=m),
        [GUIDE, (2, 5, 7, 1)],
        "valid_mask",
        "(2, 5, 7, 1)",
    ),
    "integer guide": (
        lambda g: ops.adapting_kernel(g, 3),
        [(GUIDE, "int32")],
        "float32",
        "int32",
    ),
    "string inputs": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [(X, "string"), (2, 5, 7, 9), KERNEL],
        "float32",
        "string",
    ),
    "integer filter": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [X, (2, 5, 7, 9), (KERNEL, "int32")],
        "float32",
        "int32",
    ),
    "window larger than the image": (
        lambda g: ops.adapting_kernel(g, 9),
        [GUIDE],
        "must fit into the padded image",
        "(7, 9)",
    ),
    "K of another size": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [X, K, KERNEL],
        "(2, 5, 7, 9)",
        "(2, 7, 9, 9)",
    ),
    "K of another size, transposed": (
        lambda x, k, w: ops.pac_conv2d_transpose(x, k, w, strides=2, padding="same"),
        [X, K, (3, 3, 5, 3)],
        "(2, 14, 18, 9)",
        "(2, 7, 9, 9)",
    ),
    "K of another batch": (
        lambda x, k: ops.pac_pool2d(x, k, 3, padding="same"),
        [X, (1, 7, 9, 9)],
        "(2, 7, 9, 9)",
        "(1, 7, 9, 9)",
    ),
    "K of other channels": (
        lambda x, k: ops.pac_pool2d(x, k, 3, padding="same"),
        [X, (2, 7, 9, 9, 4)],
        "(2, 7, 9, 9, 3)",
        "(2, 7, 9, 9, 4)",
    ),
    "filter of other channels": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [X, (2, 5, 7, 9), (3, 3, 4, 5)],
        "(kh, kw, Cin, Cout)",
        "(3, 3, 4, 5)",
    ),
    "filter of other channels, transposed": (
        lambda x, k, w: ops.pac_conv2d_transpose(x, k, w, padding="same"),
        [X, K, KERNEL],
        "(kh, kw, Cout, Cin)",
        "(3, 3, 3, 5)",
    ),
    "filter of rank 3": (
        lambda x, k, w: ops.pac_conv2d(x, k, w),
        [X, (2, 5, 7, 9), (3, 3, 3)],
        "4 dimensions",
        "(3, 3, 3)",
    ),
    "bias of another length": (
        lambda x, k, w, b: ops.pac_conv2d(x, k, w, b),
        [X, (2, 5, 7, 9), KERNEL, (3,)],
        "(5,)",
        "(3,)",
    ),
    "position and colour of one channel": (
        lambda image: ops.position_color_features(image),
        [(2, 7, 9)],
        "4 dimensions",
        "(2, 7, 9)",
    ),
    "position scale of nothing": (
        lambda image: ops.position_color_features(image, position_scale=0.0),
        [X],
        "positive",
        "position_scale=0.0",
    ),
}


@pytest.mark.parametrize("name", OPS)
def test_ops_eagerly(implementation, name):
    function, arguments, rule, received = OPS[name]
    with refused(rule, received):
        function(*[zeros(*specified(tensor)) for tensor in arguments])


@pytest.mark.parametrize("name", OPS)
def test_ops_in_a_function(implementation, name):
    function, arguments, rule, received = OPS[name]
    arguments = [zeros(*specified(tensor)) for tensor in arguments]
    with refused(rule, received):
        tf.function(lambda *tensors: function(*tensors))(*arguments)


@pytest.mark.parametrize("name", OPS)
def test_ops_in_a_functional_model(implementation, name):
    function, arguments, rule, received = OPS[name]
    symbolic = []
    for tensor in arguments:
        shape, dtype = specified(tensor)
        symbolic.append(keras.KerasTensor(shape, dtype))
    with refused(rule, received):
        function(*symbolic)


@pytest.mark.parametrize("value", ["a picture", [[["text"]]], np.zeros(X, "int64"), 3])
def test_what_is_no_image_is_refused(value):
    with pytest.raises(ValueError, match="(?s)Received"):
        ops.adapting_kernel(value, 3)

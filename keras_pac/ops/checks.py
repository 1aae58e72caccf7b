"""Argument checks: each raises a ValueError that states the rule and what was received.

Shapes are tuples in which None stands for a size that is not known yet; what is not known is
not checked.
"""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_pac.ops._geometry.layout import adapting_last, shape_last, with_channels
from keras_pac.ops._implementations.kernel_form import KERNEL_TYPES

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def float_tensor(name, value):
    """`value` as a tensor, which must have a floating-point type."""
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
        value = value.astype(keras.config.floatx()) if value.dtype == "float64" else value
    check_float(name, value.dtype)
    return ops.convert_to_tensor(value)


def check_float(name, dtype):
    try:
        received = keras.backend.standardize_dtype(dtype)
    except ValueError:
        received = str(dtype)
    if received not in _FLOATS:
        raise ValueError(f"`{name}` must have a type of {_FLOATS}. Received: dtype={received}")


def pair(name, value, minimum=1):
    """An int or a pair of ints as a pair of ints."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(_is_int(v) and v >= minimum for v in values):
        raise ValueError(
            f"`{name}` must be an integer or a pair of integers, at least {minimum}. "
            f"Received: {name}={value!r}"
        )
    return tuple(int(v) for v in values)


def kernel_size(value):
    sizes = pair("kernel_size", value)
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(
            "`kernel_size` must be odd: the window needs a centre pixel. "
            f"Received: kernel_size={value!r}"
        )
    return sizes


def padding(value):
    """The padding as "valid", "same" or ((top, bottom), (left, right))."""
    if isinstance(value, str) and value.lower() in ("valid", "same"):
        return value.lower()
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    try:
        rows, columns = (pair("padding", v, minimum=0) for v in values)
    except ValueError:
        raise ValueError(
            '`padding` must be "valid", "same", a non-negative integer, (rows, columns) or '
            f"((top, bottom), (left, right)). Received: padding={value!r}"
        ) from None
    return rows, columns


def output_padding(value, strides, transposed=True):
    if value is None:
        return None
    if not transposed:
        raise ValueError(
            "`output_padding` belongs to a transposed convolution. Received: "
            f"output_padding={value!r}, transposed=False"
        )
    values = pair("output_padding", value, minimum=0)
    if any(v >= stride for v, stride in zip(values, strides)):
        raise ValueError(
            "`output_padding` must be smaller than `strides`. "
            f"Received: output_padding={value!r}, strides={strides}"
        )
    return values


def data_format(value):
    value = keras.config.image_data_format() if value is None else value
    if value not in ("channels_last", "channels_first"):
        raise ValueError(
            '`data_format` must be "channels_last" or "channels_first". '
            f"Received: data_format={value!r}"
        )
    return value


def adapting_kernel_options(kind, alpha, exponent, shapes=((),)):
    """alpha and exponent are None, numbers or tensors of one of `shapes`."""
    if kind not in KERNEL_TYPES:
        raise ValueError(f"The kernel type must be one of {KERNEL_TYPES}. Received: {kind!r}")
    for name, value in {"alpha": alpha, "exponent": exponent}.items():
        if (kind == "inverse") == (value is None):
            raise ValueError(
                "The inverse kernel needs alpha and exponent, the gaussian kernel takes neither. "
                f"Received: a kernel of type {kind!r} with {name}={value!r}"
            )
        wrong = isinstance(value, (str, bool))
        if wrong or isinstance(value, numbers.Real) and not 0 <= value < math.inf:
            raise ValueError(
                f"`{name}` must be a finite number, at least 0. Received: {name}={value!r}"
            )
        if value is None:
            continue
        shape = tuple(value.shape if hasattr(value, "shape") else np.shape(value))
        if shape not in shapes:
            rule = " or ".join(f"of shape {s}" if s else "a scalar" for s in shapes)
            raise ValueError(f"`{name}` must be {rule}. Received: shape {shape}")


def boolean(name, value):
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def rank(name, shape, expected):
    if len(shape) != expected:
        raise ValueError(
            f"`{name}` must have {expected} dimensions. Received: shape {tuple(shape)}"
        )


def image(name, shape, data_format):
    """The channels_last shape of an image whose channels must be known."""
    rank(name, shape, 4)
    channels_last = shape_last(shape, data_format)
    if not channels_last[-1]:
        raise ValueError(
            f"The number of channels of `{name}` must be known and not 0. "
            f"Received: shape {tuple(shape)}"
        )
    return channels_last


def list_of_shapes(what, value):
    """The shapes of a layer's inputs as a list, also where there is only one input."""
    if isinstance(value, dict):
        raise ValueError(f"The layer is called with {what}. Received: a dict of {list(value)}")
    nested = len(value) > 0 and isinstance(value[0], (list, tuple))
    return list(value) if nested else [value]


def smoothing(shape):
    """The shape of a smoothing filter."""
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] is None or shape[0] % 2 == 0:
        raise ValueError(
            f"`smoothing` must be an (n, n) filter with n odd. Received: shape {tuple(shape)}"
        )


def same_size(name, shape, expected, reference):
    """`shape` must be `expected`, where None allows any size; `reference` says what it must fit."""
    if not all(map(_may_equal, shape, expected)):
        raise ValueError(
            f"`{name}` must fit {reference}: shape {_plain(expected)}. "
            f"Received: shape {tuple(shape)}"
        )


def adapting_kernel(value, batch, size, kernel_size, data_format, channels=None):
    """A given K: (B, OH, OW, T), or (B, OH, OW, T, C) with `channels`; None where not known."""
    check_float("adapting_kernel", getattr(value, "dtype", "list"))
    expected = (batch, *_plain(size), math.prod(kernel_size))
    expected = expected if channels is None else (*expected, channels)
    if data_format == "channels_first":
        expected = (expected[0], *expected[3:], *expected[1:3])
    if len(value.shape) != len(expected) or not all(map(_may_equal, value.shape, expected)):
        raise ValueError(
            "`adapting_kernel` must have one value for every output pixel and tap: shape "
            f"{expected}. Received: shape {tuple(value.shape)}"
        )


def adapting_tensor(value, x, window, data_format, channels=None):
    """A given K as a (B, OH, OW, T, 1 or C) tensor; `channels` allows one a channel."""
    value = float_tensor("adapting_kernel", value)
    output_size(window.output_size, window.input_size)
    channels = channels if len(value.shape) == 5 else None
    sizes = window.output_size, window.kernel_size
    adapting_kernel(value, x.shape[0], *sizes, data_format, channels)
    return with_channels(adapting_last(value, data_format), channels is not None)


def guide_of_transposed(size, strides, smallest):
    """`smallest` is the output size for an input of one pixel."""
    for output, stride, first in zip(size, strides, smallest):
        if isinstance(output, int) and ((output - first) % stride or output < first):
            raise ValueError(
                "The guide must have the size of the output, (input size - 1) * strides + "
                f"{smallest}. Received: a guide of {tuple(size)} with strides={strides}"
            )


def valid_mask(mask, expected, data_format):
    """A mask of numbers or booleans; `expected` is (B, H, W) of the input."""
    kind = str(getattr(mask, "dtype", "list"))
    if not any(name in kind for name in ("bool", "int", "float")):
        raise ValueError(
            f"`valid_mask` must be a tensor of numbers or booleans. Received: type {kind}"
        )
    shape = mask.shape
    rank("valid_mask", shape, 4)
    position = 1 if data_format == "channels_first" else 3
    same_size("valid_mask", shape, (*expected[:position], 1, *expected[position:]), "the input")


def filters(shape, channels, transposed=False):
    """`shape` is that of a filter for `channels` input channels; returns whether it is shared."""
    rank("kernel", shape, 4)
    kernel_size(tuple(shape[:2]))
    shared = tuple(shape[2:]) == (1, 1)
    if not shared and not _may_equal(shape[3 if transposed else 2], channels):
        rule = "(kh, kw, Cout, Cin)" if transposed else "(kh, kw, Cin, Cout)"
        raise ValueError(
            f"`kernel` must have the shape {rule}, or (kh, kw, 1, 1) to be shared by all channels. "
            f"Received: shape {tuple(shape)} for an input of {channels} channels"
        )
    return shared


def bias(value, channels):
    """A bias as a tensor, or None."""
    if value is None:
        return None
    value = float_tensor("bias", value)
    if tuple(value.shape) != (channels,):
        raise ValueError(
            f"`bias` must have one value per output channel: shape ({channels},). "
            f"Received: shape {tuple(value.shape)}"
        )
    return value


def one_or_each(name, value, count, optional=False):
    """A list of `count` positive numbers; one number serves all. `optional` allows None, too."""
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"`{name}` must be one number, or one for each of the {count} kernels. "
            f"Received: {name}={value!r}"
        )
    for each in values:
        if each is not None or not optional:
            positive_number(name, each)
    return values


def target_and_guide(what, value):
    """`value`, which must be two `what` ("tensors" or "shapes")."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(
            f"A joint upsampling model is called with two {what}, `[target_low, guide]`. "
            f"Received: {value}"
        )
    return value


def window_of_factor(kernel_size, factor):
    """In a smaller window some output pixels would see no target pixel."""
    if not _is_int(kernel_size) or kernel_size % 2 == 0 or kernel_size < factor:
        raise ValueError(
            "`kernel_size` must be an odd integer of at least `factor`. "
            f"Received: kernel_size={kernel_size!r}, factor={factor}"
        )


def one_of(name, value, names):
    if value not in tuple(names):  # a tuple takes a list, too
        raise ValueError(f"`{name}` must be one of {tuple(names)}. Received: {name}={value!r}")


def grey_or_rgb(name, value):
    """A picture as an array (H, W, 1 or 3)."""
    array = np.asarray(value)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            f"`{name}` must be an array (height, width), (height, width, 1) or (height, width, 3), "
            f"grey or RGB. Received: shape {array.shape}"
        )
    colors(name, array)
    return array


def real_array(name, array):
    """Numbers of NumPy's real types, or bfloat16, which is none of NumPy's own."""
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"`{name}` must be of a real type. Received: dtype={array.dtype}")


def colors(name, array):
    """An image as an array: colours of uint8, or numbers from 0 to 1."""
    if array.dtype != np.uint8:
        from_0_to_1(name, array, "of uint8, or of ")


def from_0_to_1(name, array, others=""):
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"`{name}` must be {others}floating-point numbers from 0 to 1. Received: "
            f"{array.dtype} from {array.min()} to {array.max()}"
        )


def positive_integer(name, value):
    if not (_is_int(value) and value > 0):
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def positive_integers(name, value):
    """One or several positive integers as a tuple of ints."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not values or not all(_is_int(v) and v > 0 for v in values):
        raise ValueError(
            f"`{name}` must be a positive integer or a list of them. Received: {name}={value!r}"
        )
    return tuple(int(v) for v in values)


def number(name, value):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value)):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")


def positive_number(name, value):
    number(name, value)
    positive_if_known(name, value)


def positive_if_known(name, value):
    """None and tensors pass."""
    wrong = isinstance(value, str)
    if wrong or isinstance(value, numbers.Real) and not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")


def output_size(size, input_size):
    """No window may be larger than the padded image."""
    if any(isinstance(s, int) and s < 1 for s in size):
        raise ValueError(
            "The window must fit into the padded image, so that the output has at least one "
            f"pixel. Received: an image of {_plain(input_size)} that gives {_plain(size)}"
        )


def _is_int(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _may_equal(size, expected):
    return not (isinstance(size, int) and isinstance(expected, int)) or size == expected


def _plain(shape):
    """Sizes that are not known yet as None."""
    return tuple(size if isinstance(size, int) else None for size in shape)

"""A call of the core, as `kpac_call` in custom_ops/core/keras_pac.h describes it."""

import dataclasses
import functools
import math
from typing import NamedTuple

import keras
from keras import ops

from keras_pac.ops._geometry.window import Window, convolution_window, transposed_window
from keras_pac.ops._implementations.compiled import Options
from keras_pac.ops._implementations.kernel_form import KERNEL_TYPES, in_float32

# The fields of `kpac_inputs` and `kpac_outputs`, in their order.
INPUTS = "x adapting_kernel guide center valid_mask alpha exponent filter bias upstream".split()
OUTPUTS = "y adapting_kernel output_mask x guide center alpha exponent filter bias".split()
FUNCTIONS = "adapting_kernel adapting_kernel_gradient windowed_sum windowed_sum_gradient".split()
SCALARS = "alpha", "exponent"  # their type is float32 at least
_TYPES = "float16 bfloat16 float32 float64".split()
_POOLING, _SHARED, _FULL = range(3)
_NUMBERS = 18


class Extent(NamedTuple):
    """All that the core knows of a window. Each is a pair, but for `transposed`."""

    input_size: tuple
    output_size: tuple
    before: tuple
    kernel_size: tuple
    strides: tuple
    dilation_rate: tuple
    transposed: bool

    def window(self):
        """The window that has this extent."""
        padding = []
        for size, output, first, taps, stride, dilation in zip(*self[:6]):
            span = dilation * (taps - 1)
            if self.transposed:
                crop = span - first
                padding.append((crop, (size - 1) * stride + span + 1 - crop - output))
            else:
                padding.append((first, (output - 1) * stride + span + 1 - size - first))
        geometry = self.input_size, self.kernel_size, self.strides, tuple(padding)
        if self.transposed:
            return transposed_window(*geometry, None, self.dilation_rate)
        return convolution_window(*geometry, self.dilation_rate)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What to compute, but for the tensors.

    Args:
        is_sum: bool, whether the result is y, else K and the output mask.
    """

    is_sum: bool
    window: Window | Extent
    options: Options

    @classmethod
    def of_numbers(cls, is_sum, numbers):
        """The problem that has these `numbers()`; in place of its window it has an `Extent`."""
        if len(numbers) != _NUMBERS:
            raise ValueError(f"A problem has {_NUMBERS} numbers. Received: {len(numbers)}")
        pairs = [tuple(numbers[i : i + 2]) for i in range(0, 12, 2)]
        transposed, kernel_type, *flags = numbers[12:]
        if kernel_type not in range(len(KERNEL_TYPES)):
            raise ValueError(f"There is no kernel type of number {kernel_type}")
        options = Options(KERNEL_TYPES[kernel_type], *map(bool, flags))
        return cls(is_sum, Extent(*pairs, bool(transposed)), options)

    def numbers(self):
        """The window and the options as whole numbers."""
        window, options = self.window, self.options
        return [
            *window.input_size,
            *window.output_size,
            *window.before,
            *window.kernel_size,
            *window.strides,
            *window.dilation_rate,
            int(window.transposed),
            KERNEL_TYPES.index(options.kernel_type),
            *map(int, options[1:]),
        ]

    def of_gradient(self):
        """The problem without softmax: a gradient function of the core knows none."""
        return dataclasses.replace(self, options=self.options._replace(softmax=False))

    def function(self, gradient=False):
        """The number of the core's function."""
        name = "windowed_sum" if self.is_sum else "adapting_kernel"
        return FUNCTIONS.index(f"{name}_gradient" if gradient else name)

    def outputs(self, tensors):
        """{name: shape} of what the function, not its gradient, returns."""
        image = (*_batch(tensors), *self.window.output_size)
        if self.is_sum:
            return {"y": (*image, _output_channels(tensors))}
        values = tensors["guide"].shape[3] if self.options.channel_wise else 1
        shapes = {"adapting_kernel": (*image, math.prod(self.window.kernel_size), values)}
        return {**shapes, "output_mask": (*image, 1)} if "valid_mask" in tensors else shapes

    def inputs(self, tensors):
        """{name: shape} that the inputs must have; `tensors` has those that are there."""
        window, first = self.window, tensors["x" if self.is_sum else "guide"].shape
        batch, channels = first[0], first[3]
        guide = (
            batch,
            *_guide_size(window),
            tensors["guide"].shape[3] if "guide" in tensors else 0,
        )
        values = channels if self.options.channel_wise else 1
        adapting = (batch, *window.output_size, math.prod(window.kernel_size), values)
        shapes = {
            "guide": guide,
            "center": guide,
            "alpha": (values,),
            "exponent": (values,),
            "upstream": adapting,
        }
        if not self.is_sum:
            return {**shapes, "valid_mask": (batch, *window.input_size, 1)}
        filters, shared = _output_channels(tensors), _is_shared(tensors)
        y = (batch, *window.output_size, filters)
        return {
            **shapes,
            "x": (batch, *window.input_size, channels),
            "adapting_kernel": adapting,
            "filter": (*window.kernel_size, *((1, 1) if shared else (channels, filters))),
            "bias": y if has_image(tensors) else (filters,),
            "upstream": y,
        }

    def sizes(self, tensors):
        """The numbers of `kpac_sizes`; `tensors` has those that are there."""
        shapes = {name: tuple(tensors[name].shape) for name in ("x", "guide") if name in tensors}
        filter = tuple(tensors["filter"].shape) if "filter" in tensors else None
        dtype = keras.backend.standardize_dtype(tensors["x" if self.is_sum else "guide"].dtype)
        return _sizes(self, shapes.get("x"), shapes.get("guide"), filter, dtype, has_image(tensors))


def _batch(tensors):
    return (tensors["x"] if "x" in tensors else tensors["guide"]).shape[:1]


def _is_shared(tensors):
    """Whether all channels share the filter, or there is none."""
    return "filter" not in tensors or tuple(tensors["filter"].shape[2:]) == (1, 1)


def _output_channels(tensors):
    return tensors["x" if _is_shared(tensors) else "filter"].shape[3]


def _guide_size(window):
    return window.output_size if window.transposed else window.input_size


@functools.lru_cache(maxsize=1024)
def _sizes(problem, x, guide, filter, dtype, bias_image):
    window, options = problem.window, problem.options
    strides, input_dilation, guide_padding = window.strides, (1, 1), window.before
    if window.transposed:
        strides, input_dilation = (1, 1), strides
        middles = (size // 2 for size in window.kernel_size)
        guide_padding = (rate * middle for rate, middle in zip(window.dilation_rate, middles))
    input_channels = output_channels = x[3] if x else 0
    kind = _POOLING if filter is None else _SHARED if filter[2:] == (1, 1) else _FULL
    if kind == _FULL and problem.is_sum:
        output_channels = filter[3]
    batch = (x or guide)[0]
    return (
        -1 if batch is None else batch,
        *window.input_size,
        *_guide_size(window),
        *window.output_size,
        input_channels,
        guide[3] if guide else 0,
        output_channels,
        *window.kernel_size,
        *strides,
        *input_dilation,
        *window.dilation_rate,
        *window.before,
        *guide_padding,
        _TYPES.index(dtype),
        KERNEL_TYPES.index(options.kernel_type),
        kind,
        int(options.asymmetric),
        int(options.channel_wise),
        int(options.normalize),
        int(bias_image),
        int(options.softmax),
    )


def has_image(tensors):
    """Whether the bias has a value for every output. The gradient by it is that by y."""
    return "bias" in tensors and len(tensors["bias"].shape) == 4


def before_softmax(y, upstream):
    """The gradient by what y is the softmax of; in float32 at least, as the core's sums."""
    dtype = upstream.dtype
    y, upstream = in_float32(y), in_float32(upstream)
    return ops.cast(y * (upstream - ops.sum(y * upstream, axis=-1, keepdims=True)), dtype)


def there(tensors):
    """Without those that are None."""
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def bits(names, fields):
    """A number whose bit k tells whether the field k is among the names."""
    return sum(1 << fields.index(name) for name in names)

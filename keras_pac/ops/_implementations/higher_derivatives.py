"""Derivatives of the compiled op's gradients: those of the portable code, from the op's inputs."""

import dataclasses

import tensorflow as tf

from keras_pac.ops._geometry.window import convolution_window, transposed_window
from keras_pac.ops._implementations import taps
from keras_pac.ops._implementations.kernel_form import KernelForm
from keras_pac.ops._implementations.portable import Portable

_PORTABLE = Portable(taps)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _CenteredForm(KernelForm):
    """A form whose features at the centre pixel were computed before."""

    center: object = None

    def smoothed(self, guide):
        return self.center


def adapting_kernel_derivatives(op, *factors):
    """The gradients of sum(factors · outputs) by the inputs of the op "AdaptingKernelGrad"."""

    def forward(guide, center, valid_mask, alpha, exponent, input_size, output_size, padding):
        form = _form(op, center, alpha, exponent, normalize=op.get_attr("normalize"))
        window = _window(op, _values(input_size), output_size, padding)
        return _PORTABLE.adapting_kernel(guide, window, form, _given(valid_mask))[0]

    guide, center, _, alpha, exponent, *_ = op.inputs
    return _derivatives(op, forward, (guide, center, alpha, exponent), factors)


def windowed_sum_derivatives(op, *factors):
    """The gradients of sum(factors · outputs) by the inputs of the op "WindowedSumGrad"."""

    def forward(x, adapting, guide, center, alpha, exponent, filter, bias, output_size, padding):
        size = [fixed or free for fixed, free in zip(x.shape[1:3], tf.unstack(tf.shape(x)[1:3]))]
        window = _window(op, tuple(size), output_size, padding)
        filter, bias = _given(filter), _given(bias)
        if (adapting := _given(adapting)) is not None:
            return _PORTABLE.windowed_sum(x, adapting, filter, window, bias)
        form = _form(op, center, alpha, exponent)
        return _PORTABLE.guided_windowed_sum(x, guide, filter, window, form, bias)[0]

    return _derivatives(op, forward, op.inputs[:8], factors)


def _derivatives(op, forward, by, factors):
    """The derivatives for an op that returns the gradients of `forward` by some of its inputs."""
    *inputs, upstream = op.inputs
    with tf.GradientTape() as outer:
        outer.watch([*by, upstream])
        with tf.GradientTape() as inner:
            inner.watch(by)
            y = tf.cast(forward(*inputs), upstream.dtype)
        gradients = inner.gradient(y, by, output_gradients=upstream)
        products = [
            tf.reduce_sum(gradient * factor)
            for gradient, factor in zip(gradients, factors)
            if gradient is not None and factor is not None
        ]
        total = tf.add_n([tf.cast(product, tf.float64) for product in products])
    sources = [tensor if tensor.dtype.is_floating else None for tensor in op.inputs]
    found = iter(outer.gradient(total, [s for s in sources if s is not None]))
    return [None if source is None else next(found) for source in sources]


def _form(op, center, alpha, exponent, normalize=False):
    return _CenteredForm(
        kind=op.get_attr("kernel_type").decode(),
        alpha=_given(alpha),
        exponent=_given(exponent),
        asymmetric=op.get_attr("asymmetric"),
        channel_wise=op.get_attr("channel_wise"),
        normalize=normalize,
        center=_given(center),
    )


def _window(op, size, output_size, before):
    """The window from what the op knows of it: its output and the padding before its input."""
    names = "kernel_size", "strides", "dilation_rate"
    kernel_size, strides, dilation_rate = (tuple(op.get_attr(name)) for name in names)
    padding = []
    for axis, (output, first) in enumerate(zip(_values(output_size), _values(before))):
        span, stride = dilation_rate[axis] * (kernel_size[axis] - 1), strides[axis]
        if op.get_attr("transposed"):
            crop = span - first
            padding.append((crop, size[axis] * stride - stride + span + 1 - crop - output))
        else:
            after = (output - 1) * stride + span + 1 - size[axis] - first
            after = max(after, 0) if isinstance(after, int) else tf.maximum(after, 0)
            padding.append((first, after))
    if op.get_attr("transposed"):
        return transposed_window(size, kernel_size, strides, tuple(padding), None, dilation_rate)
    return convolution_window(size, kernel_size, strides, tuple(padding), dilation_rate)


def _given(tensor):
    """None for a tensor of shape [0], which stands for one that isn't there."""
    return None if tensor.shape.rank == 1 and tensor.shape[0] == 0 else tensor


def _values(tensor):
    """A pair of sizes: ints, or scalar tensors where TensorFlow does not know them yet."""
    known = tf.get_static_value(tensor)
    if known is not None:
        return tuple(map(int, known))
    return tuple(tf.unstack(tf.cast(tensor, tf.int32)))

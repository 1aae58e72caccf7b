"""Derivatives of the compiled op's gradients: those of the portable code, from the op's inputs."""

import tensorflow as tf

from keras_pac.ops._geometry.window import convolution_window, transposed_window
from keras_pac.ops._implementations.compiled import Options, portable_twin
from keras_pac.ops._implementations.compiled.problem import Problem


def adapting_kernel_derivatives(op, *factors):
    """The gradients of sum(factors · outputs) by the inputs of the op "AdaptingKernelGrad"."""

    def forward(guide, center, valid_mask, alpha, exponent, input_size, output_size, padding):
        window = _window(op, _values(input_size), output_size, padding)
        problem = Problem(False, window, _options(op, normalize=op.get_attr("normalize")))
        tensors = _given(
            guide=guide, center=center, valid_mask=valid_mask, alpha=alpha, exponent=exponent
        )
        return portable_twin.output(problem, tensors)

    guide, center, _, alpha, exponent, *_ = op.inputs
    return _derivatives(op, forward, (guide, center, alpha, exponent), factors)


def windowed_sum_derivatives(op, *factors):
    """The gradients of sum(factors · outputs) by the inputs of the op "WindowedSumGrad"."""
    names = "x", "adapting_kernel", "guide", "center", "alpha", "exponent", "filter", "bias"

    def forward(x, *inputs):
        *inputs, output_size, padding = inputs
        size = [fixed or free for fixed, free in zip(x.shape[1:3], tf.unstack(tf.shape(x)[1:3]))]
        window = _window(op, tuple(size), output_size, padding)
        tensors = _given(**dict(zip(names, (x, *inputs))))
        return portable_twin.output(Problem(True, window, _options(op)), tensors)

    return _derivatives(op, forward, op.inputs[:8], factors)


def _derivatives(op, forward, by, factors):
    """The derivatives for an op that returns the gradients of `forward` by some of its inputs."""
    *inputs, upstream = op.inputs
    sources = [tensor for tensor in op.inputs if tensor.dtype.is_floating]
    found = iter(derivatives(lambda: forward(*inputs), by, upstream, factors, sources))
    return [next(found) if tensor.dtype.is_floating else None for tensor in op.inputs]


def derivatives(output, by, upstream, factors, sources):
    """The gradients by `sources` of sum(factors · gradients of sum(output() · upstream)).

    The inner gradients are those by the tensors `by`.
    """
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(by)
            y = tf.cast(output(), upstream.dtype)
        gradients = inner.gradient(y, by, output_gradients=upstream)
        products = [
            tf.reduce_sum(gradient * factor)
            for gradient, factor in zip(gradients, factors)
            if gradient is not None and factor is not None
        ]
        total = tf.add_n([tf.cast(product, tf.float64) for product in products])
    return outer.gradient(total, sources)


def _options(op, normalize=False):
    kernel_type = op.get_attr("kernel_type").decode()
    return Options(kernel_type, op.get_attr("asymmetric"), op.get_attr("channel_wise"), normalize)


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


def _given(**tensors):
    """Without tensors of shape [0], which stand for those that aren't there."""
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not (tensor.shape.rank == 1 and tensor.shape[0] == 0)
    }


def _values(tensor):
    """A pair of sizes: ints, or scalar tensors where TensorFlow does not know them yet."""
    known = tf.get_static_value(tensor)
    if known is not None:
        return tuple(map(int, known))
    return tuple(tf.unstack(tf.cast(tensor, tf.int32)))

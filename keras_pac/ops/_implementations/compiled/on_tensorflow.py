"""The TensorFlow op. A tensor of shape [0] stands for one that isn't there."""

import sys

import tensorflow as tf

from keras_pac.ops._implementations import library, tracing
from keras_pac.ops._implementations.compiled import on_tensorflow_xla
from keras_pac.ops._implementations.compiled.higher_derivatives import (
    adapting_kernel_derivatives,
    windowed_sum_derivatives,
)
from keras_pac.ops._implementations.compiled.problem import SCALARS, before_softmax, has_image


def operations_here():
    """The operations that fit where the call comes from, or None."""
    place = tracing.place()
    if place == "export" or (place == "xla" and library.not_in_xla_reasons()):
        return None
    if place == "eager":
        return sys.modules[__name__]
    tracing.keep_from_saving()
    return on_tensorflow_xla if place == "xla" else sys.modules[__name__]


def adapting_kernel(tensors, window, options):
    """K, and the output mask or None."""
    adapting, output_mask = library.load().keras_pac_adapting_kernel(
        **_inputs(tensors, ("guide", "center", "valid_mask", *SCALARS), tensors["guide"].dtype),
        **_named(options, "normalize"),
        **_geometry(window),
        input_size=_sizes(window.input_size),
        name=tracing.NODE_NAME,
    )
    return adapting, None if tensors["valid_mask"] is None else output_mask


def windowed_sum(tensors, window, options):
    """y."""
    names = "x", "adapting_kernel", "guide", "center", *SCALARS, "filter", "bias"
    return library.load().keras_pac_windowed_sum(
        **_inputs(tensors, names, tensors["x"].dtype),
        **_named(options, "softmax"),
        **_geometry(window),
        name=tracing.NODE_NAME,
    )


def _inputs(tensors, names, dtype):
    wide = tf.float64 if dtype == tf.float64 else tf.float32
    given = {name: tensors.get(name) for name in names}
    return {
        name: tf.constant([], wide if name in SCALARS else dtype) if value is None else value
        for name, value in given.items()
    }


def _named(options, last):
    names = "kernel_type", "asymmetric", "channel_wise", last
    return {name: getattr(options, name) for name in names}


def _geometry(window):
    return {
        "output_size": _sizes(window.output_size),
        "padding": _sizes(window.before),
        "kernel_size": window.kernel_size,
        "strides": window.strides,
        "dilation_rate": window.dilation_rate,
        "transposed": window.transposed,
    }


def _sizes(values):
    if all(isinstance(value, int) for value in values):
        return tf.constant(values, tf.int64)
    return tf.stack([tf.cast(value, tf.int64) for value in values])


def _attributes(op, *names):
    names = ("kernel_size", "strides", "dilation_rate", "transposed", "asymmetric", *names)
    values = {name: op.get_attr(name) for name in (*names, "channel_wise")}
    return {**values, "kernel_type": op.get_attr("kernel_type").decode()}


@tf.RegisterGradient("KerasPac>AdaptingKernel")
def _adapting_kernel_gradient(op, upstream, _):
    guide, center, alpha, exponent = library.load().keras_pac_adapting_kernel_grad(
        *op.inputs, upstream, **_attributes(op, "normalize")
    )
    return guide, center, None, alpha, exponent, None, None, None


@tf.RegisterGradient("KerasPac>WindowedSum")
def _windowed_sum_gradient(op, upstream):
    *tensors, bias, output_size, padding = op.inputs
    if op.get_attr("softmax"):
        upstream = before_softmax(op.outputs[0], upstream)
    is_image = has_image({"bias": bias})
    inputs = *tensors, tf.constant([], bias.dtype) if is_image else bias, output_size, padding
    *gradients, bias_gradient = library.load().keras_pac_windowed_sum_grad(
        *inputs, upstream, **_attributes(op)
    )
    return *gradients, upstream if is_image else bias_gradient, None, None


tf.RegisterGradient("KerasPac>AdaptingKernelGrad")(adapting_kernel_derivatives)
tf.RegisterGradient("KerasPac>WindowedSumGrad")(windowed_sum_derivatives)

"""The compiled TensorFlow op: whole windows in one call."""

import keras
import tensorflow as tf

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.higher_derivatives import (
    adapting_kernel_derivatives,
    windowed_sum_derivatives,
)
from keras_pac.ops._implementations.tracing import NODE_NAME


def adapting_kernel(guide, window, form, valid_mask=None):
    """K (B, OH, OW, kh * kw, 1 or G) in the guide's type, and the output mask or None."""
    values = guide.shape[-1] if form.channel_wise else 1
    adapting, output_mask = library.load().keras_pac_adapting_kernel(
        guide=guide,
        center=_tensor(form.smoothed(guide), guide.dtype),
        valid_mask=_tensor(valid_mask, guide.dtype),
        alpha=_scalars(form.alpha, guide.dtype, values),
        exponent=_scalars(form.exponent, guide.dtype, values),
        input_size=_sizes(window.input_size),
        kernel_type=form.kind,
        asymmetric=form.asymmetric,
        channel_wise=form.channel_wise,
        normalize=form.normalize,
        **_geometry(window),
        name=NODE_NAME,
    )
    return adapting, None if valid_mask is None else output_mask


def windowed_sum(x, adapting_kernel, filter, window, bias=None):
    """y for a given K."""
    return _windowed_sum(
        x,
        filter,
        window,
        bias,
        adapting_kernel=tf.cast(adapting_kernel, x.dtype),
        channel_wise=adapting_kernel.shape[-1] != 1,
    )


def guided_windowed_sum(x, guide, filter, window, form, bias=None, valid_mask=None):
    """y for the K of a guide, and the output mask or None.

    Where one pass can do it, K is computed in the cache and not stored.
    """
    guide = tf.cast(guide, keras.backend.result_type(guide.dtype, x.dtype))
    needs_whole_windows = form.normalize or form.channel_wise or valid_mask is not None
    if needs_whole_windows or guide.dtype != x.dtype:
        adapting, output_mask = adapting_kernel(guide, window, form, valid_mask)
        return windowed_sum(x, adapting, filter, window, bias), output_mask
    y = _windowed_sum(
        x,
        filter,
        window,
        bias,
        guide=guide,
        center=form.smoothed(guide),
        alpha=form.alpha,
        exponent=form.exponent,
        kernel_type=form.kind,
        asymmetric=form.asymmetric,
    )
    return y, None


def _windowed_sum(x, filter, window, bias, alpha=None, exponent=None, **given):
    for name in ("adapting_kernel", "guide", "center"):
        given[name] = _tensor(given.get(name), x.dtype)
    return library.load().keras_pac_windowed_sum(
        x=x,
        alpha=_scalars(alpha, x.dtype),
        exponent=_scalars(exponent, x.dtype),
        filter=_tensor(filter, x.dtype),
        bias=_tensor(bias, x.dtype),
        **given,
        **_geometry(window),
        name=NODE_NAME,
    )


def _geometry(window):
    return {
        "output_size": _sizes(window.output_size),
        "padding": _sizes(window.before),
        "kernel_size": window.kernel_size,
        "strides": window.strides,
        "dilation_rate": window.dilation_rate,
        "transposed": window.transposed,
    }


def _tensor(value, dtype):
    """`value` as a tensor; one of shape [0] stands for None."""
    return tf.constant([], dtype) if value is None else tf.cast(value, dtype)


def _scalars(value, dtype, count=1):
    """alpha or exponent as a vector, one value for each channel of K."""
    dtype = tf.float64 if dtype == tf.float64 else tf.float32
    value = _tensor(value, dtype)
    return tf.broadcast_to(value, (count,)) if value.shape.rank == 0 else value


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
    gradients = library.load().keras_pac_windowed_sum_grad(*op.inputs, upstream, **_attributes(op))
    return *gradients, None, None


tf.RegisterGradient("KerasPac>AdaptingKernelGrad")(adapting_kernel_derivatives)
tf.RegisterGradient("KerasPac>WindowedSumGrad")(windowed_sum_derivatives)

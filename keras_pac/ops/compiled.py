"""The compiled TensorFlow op: whole windows in one call."""

import functools
import sys

import tensorflow as tf

from keras_pac.ops import library

# What the error of XLA shows where a function that was traced before is called inside XLA.
NODE_NAME = "in_XLA_call_keras_pac.set_implementation_taps_first"
# Whoever traces a graph from one of these modules saves it for another process.
EXPORTERS = ("tensorflow.python.saved_model.", "tensorflow.lite.", "keras.src.export.", "tf2onnx")


def fits_here():
    """Whether the op may be put where the call comes from: neither into XLA nor into an export."""
    if tf.executing_eagerly():
        return True
    if tf.__internal__.get_enclosing_xla_context() is not None or _exporting():
        return False
    graph = tf.compat.v1.get_default_graph()
    if hasattr(graph, "capture"):
        graph.capture(_not_for_export())
    return True


def adapting_kernel(
    guide,
    center,
    window,
    valid_mask,
    *,
    kind,
    alpha,
    exponent,
    asymmetric,
    channel_wise,
    normalize,
):
    """K (B, OH, OW, T, 1 or G) and the output mask (B, OH, OW, 1) or None, in the guide's type."""
    values = guide.shape[-1] if channel_wise else 1
    kernel, output_mask = library.load().keras_pac_adapting_kernel(
        guide=guide,
        center=_tensor(center, guide.dtype),
        valid_mask=_tensor(valid_mask, guide.dtype),
        alpha=_scalars(alpha, guide.dtype, values),
        exponent=_scalars(exponent, guide.dtype, values),
        input_size=_sizes(window.input_size),
        normalize=normalize,
        channel_wise=channel_wise,
        kernel_type=kind,
        asymmetric=asymmetric,
        **_geometry(window),
        name=NODE_NAME,
    )
    return kernel, None if valid_mask is None else output_mask


def windowed_sum(x, adapting_kernel, kernel, window, bias=None):
    """`windowed_sum.windowed_sum` with a given K."""
    return _windowed_sum(
        x,
        kernel,
        window,
        bias,
        adapting_kernel=tf.cast(adapting_kernel, x.dtype),
        channel_wise=adapting_kernel.shape[-1] != 1,
    )


def guided_windowed_sum(
    x, guide, center, kernel, window, bias=None, *, kind, alpha, exponent, asymmetric
):
    """The same with the K of a guide of the type of x, computed in the same pass."""
    return _windowed_sum(
        x,
        kernel,
        window,
        bias,
        guide=guide,
        center=center,
        alpha=alpha,
        exponent=exponent,
        kernel_type=kind,
        asymmetric=asymmetric,
    )


def _windowed_sum(
    x,
    kernel,
    window,
    bias,
    adapting_kernel=None,
    guide=None,
    center=None,
    alpha=None,
    exponent=None,
    **attributes,
):
    return library.load().keras_pac_windowed_sum(
        x=x,
        adapting_kernel=_tensor(adapting_kernel, x.dtype),
        guide=_tensor(guide, x.dtype),
        center=_tensor(center, x.dtype),
        alpha=_scalars(alpha, x.dtype),
        exponent=_scalars(exponent, x.dtype),
        filter=_tensor(kernel, x.dtype),
        bias=_tensor(bias, x.dtype),
        **attributes,
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
    """A tensor of shape [0] stands for one that isn't there."""
    return tf.constant([], dtype) if value is None else tf.cast(value, dtype)


def _scalars(value, dtype, count=1):
    """alpha or exponent, one a channel of K."""
    dtype = tf.float64 if dtype == tf.float64 else tf.float32
    value = _tensor(value, dtype)
    return tf.broadcast_to(value, (count,)) if value.shape.rank == 0 else value


def _sizes(values):
    if all(isinstance(value, int) for value in values):
        return tf.constant(values, tf.int64)
    return tf.stack([tf.cast(value, tf.int64) for value in values])


def _not_for_export():
    """A resource that no model tracks: TensorFlow refuses to save a graph that refers to it.

    TensorFlow traces a `tf.function` again to save it, but can't do that with a concrete function
    that the user got before. Its error shows the name of the resource.
    """
    with tf.init_scope(), tf.device("CPU:0"):
        # Inside a `tf.Graph` it belongs to that graph.
        return _eager_resource() if tf.executing_eagerly() else _resource()


def _resource():
    return tf.raw_ops.VarHandleOp(
        dtype=tf.bool,
        shape=(),
        shared_name="call keras_pac.set_implementation('taps') before tracing what is saved",
    )


_eager_resource = functools.cache(_resource)


def _exporting():
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


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


@tf.RegisterGradient("KerasPac>AdaptingKernelGrad")
@tf.RegisterGradient("KerasPac>WindowedSumGrad")
def _no_second_derivative(op, *upstream):
    raise NotImplementedError(
        "The compiled op has first derivatives only. For higher ones, and for forward-mode "
        "differentiation, call keras_pac.set_implementation('taps') first."
    )

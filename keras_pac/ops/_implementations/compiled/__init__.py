"""The compiled code: whole windows in one call, on every backend of Keras.

A backend's module (`on_tensorflow`, `on_jax`, `on_torch`) has two operations with gradients:

    adapting_kernel(tensors, window, options) -> K, output_mask
    windowed_sum(tensors, window, options) -> y

`tensors` is {name: tensor or None}, with the names of `kpac_inputs` in custom_ops/core/keras_pac.h;
`window` is a `Window`, and `options` an `Options`.
"""

from typing import NamedTuple

import keras
from keras import ops


class Options(NamedTuple):
    """What decides on the result besides the window and the tensors."""

    kernel_type: str = "gaussian"
    asymmetric: bool = False
    channel_wise: bool = False
    normalize: bool = False
    softmax: bool = False


class Compiled:
    """The functions of an implementation (see `keras_pac.ops._implementations`).

    Args:
        operations: the module of the backend.
    """

    def __init__(self, operations):
        self._operations = operations

    def adapting_kernel(self, guide, window, form, valid_mask=None):
        """K (B, OH, OW, kh * kw, 1 or G) in the guide's type, and the output mask or None."""
        values = guide.shape[-1] if form.channel_wise else 1
        tensors = {
            "guide": guide,
            "center": _cast(form.smoothed(guide), guide),
            "valid_mask": _cast(valid_mask, guide),
            "alpha": _scalars(form.alpha, guide, values),
            "exponent": _scalars(form.exponent, guide, values),
        }
        options = Options(form.kind, form.asymmetric, form.channel_wise, form.normalize)
        return self._operations.adapting_kernel(tensors, window, options)

    def windowed_sum(self, x, adapting_kernel, filter, window, bias=None, softmax=False):
        """y for a given K."""
        tensors = {"x": x, "adapting_kernel": _cast(adapting_kernel, x)}
        options = Options(channel_wise=adapting_kernel.shape[-1] != 1, softmax=softmax)
        return self._windowed_sum(tensors, filter, bias, window, options)

    def guided_windowed_sum(self, x, guide, filter, window, form, bias=None, valid_mask=None):
        """y for the K of a guide, and the output mask or None.

        Where one pass can do it, K is computed in the cache and not stored.
        """
        guide = ops.cast(guide, _wider(_type(guide), _type(x)))
        needs_whole_windows = form.normalize or form.channel_wise or valid_mask is not None
        if needs_whole_windows or _type(guide) != _type(x):
            adapting, output_mask = self.adapting_kernel(guide, window, form, valid_mask)
            return self.windowed_sum(x, adapting, filter, window, bias), output_mask
        tensors = {
            "x": x,
            "guide": guide,
            "center": _cast(form.smoothed(guide), x),
            "alpha": _scalars(form.alpha, x),
            "exponent": _scalars(form.exponent, x),
        }
        options = Options(form.kind, form.asymmetric)
        return self._windowed_sum(tensors, filter, bias, window, options), None

    def _windowed_sum(self, tensors, filter, bias, window, options):
        x = tensors["x"]
        tensors = {**tensors, "filter": _cast(filter, x), "bias": _cast(bias, x)}
        return self._operations.windowed_sum(tensors, window, options)


def _type(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def _wider(one, other):
    """A type that holds the values of both; Keras would narrow float64 where TensorFlow isn't."""
    return one if one == other else "float64" if "float64" in (one, other) else "float32"


def _cast(value, like):
    if value is None or type(value) is type(like) and value.dtype == like.dtype:
        return value  # as `ops.cast` would, which takes 5 microseconds
    return ops.cast(value, _type(like))


def _scalars(value, like, count=1):
    """alpha or exponent as a vector, one value for each channel of K."""
    if value is None:
        return None
    value = ops.cast(value, "float64" if _type(like) == "float64" else "float32")
    return ops.broadcast_to(value, (count,)) if len(value.shape) == 0 else value

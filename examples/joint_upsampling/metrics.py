"""Losses and errors of upsampling, for Keras; pixels of unknown truth (not finite) don't count."""

import functools
import math

import keras
from keras import ops

from examples.files import FLOW_LIMIT

SMALLEST_SQUARE = 1e-12  # the root has no gradient at 0


@keras.saving.register_keras_serializable("keras_pac_examples")
class KnownPixels(keras.losses.Loss):
    """The error over the known pixels of every example; 0 where there are none.

    Args:
        kind: "l2" for the mean of squared errors, "l1" for that of absolute ones, "relative" for
            the root of the first, whose examples have a weight: 1 / the error of interpolation.
    """

    def __init__(self, kind="l2", name="known_pixels", **kwargs):
        super().__init__(name=name, **kwargs)
        self.kind = kind

    def call(self, y_true, y_pred):
        known, differences = _differences(y_true, y_pred)
        errors = ops.abs(differences) if self.kind == "l1" else ops.square(differences)
        count = ops.sum(known, axis=(1, 2, 3)) * differences.shape[-1]
        mean = ops.sum(errors, axis=(1, 2, 3)) / ops.maximum(count, 1)
        return ops.sqrt(mean + SMALLEST_SQUARE) if self.kind == "relative" else mean

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


class _MeanOverImages(keras.metrics.Mean):
    """The mean over images of an error over the known pixels of each."""

    limit = math.inf  # pixels of larger truth are unknown

    def update_state(self, y_true, y_pred, sample_weight=None):
        known, differences = _differences(
            ops.convert_to_tensor(y_true, self.dtype),
            ops.convert_to_tensor(y_pred, self.dtype),
            self.limit,
        )
        squared = ops.sum(ops.square(differences), axis=-1, keepdims=True)
        count = ops.sum(known, axis=(1, 2, 3))
        errors = self.error_of_images(squared, ops.maximum(count, 1))
        counted = ops.cast(count > 0, self.dtype)
        super().update_state(errors, counted if sample_weight is None else sample_weight * counted)


@keras.saving.register_keras_serializable("keras_pac_examples")
class RootMeanSquaredError(_MeanOverImages):
    """Per image the root of the mean over pixels of the squared error, summed over channels."""

    def __init__(self, name="rmse", **kwargs):
        super().__init__(name=name, **kwargs)

    def error_of_images(self, squared, count):
        return ops.sqrt(ops.sum(squared, axis=(1, 2, 3)) / count)


@keras.saving.register_keras_serializable("keras_pac_examples")
class EndPointError(_MeanOverImages):
    """Per image the mean length of the error of a flow."""

    limit = FLOW_LIMIT

    def __init__(self, name="epe", **kwargs):
        super().__init__(name=name, **kwargs)

    def error_of_images(self, squared, count):
        return ops.sum(ops.sqrt(squared), axis=(1, 2, 3)) / count


def _differences(y_true, y_pred, limit=math.inf):
    """Which pixels are known (B, H, W, 1), as numbers; and their differences, 0 elsewhere."""
    known = ops.all(ops.abs(y_true) < limit, axis=-1, keepdims=True)  # False for NaN
    differences = ops.where(known, y_true - ops.cast(y_pred, y_true.dtype), 0)
    return ops.cast(known, y_true.dtype), differences


def _error_of_one(metric, prediction, truth):
    """The error of one image (rows, cols, channels), a number."""
    metric = metric(dtype="float64")
    metric.update_state(truth[None], prediction[None])
    return float(metric.result())


rmse = functools.partial(_error_of_one, RootMeanSquaredError)
epe = functools.partial(_error_of_one, EndPointError)

"""How good a segmentation is; ignored pixels don't count."""

import keras
import numpy as np
from keras import ops

from examples.files import IGNORED_LABEL


@keras.saving.register_keras_serializable("keras_pac_examples")
class PixelLoss(keras.losses.Loss):
    """The mean cross-entropy over the pixels of a batch that count; 0 where there are none."""

    def call(self, y_true, y_pred):
        counted = ops.not_equal(y_true, IGNORED_LABEL)
        labels = ops.cast(ops.where(counted, y_true, 0), "int32")
        losses = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        counted = ops.cast(counted, losses.dtype)
        return ops.sum(counted * losses) / ops.maximum(ops.sum(counted), 1)


@keras.saving.register_keras_serializable("keras_pac_examples")
class MeanIoU(keras.metrics.Metric):
    """The mean IoU that `scores` returns, for logits.

    `keras.metrics.MeanIoU` also counts classes that only the predictions have.
    """

    def __init__(self, classes, name="mean_iou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.confusion = self.add_weight(shape=(classes, classes), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = ops.one_hot(ops.cast(y_true, "int32"), self.classes)  # zeros where it is ignored
        best = ops.equal(y_pred, ops.max(y_pred, axis=-1, keepdims=True))
        pairs = (ops.reshape(ops.cast(x, self.dtype), (-1, self.classes)) for x in (truth, best))
        self.confusion.assign_add(ops.tensordot(*pairs, axes=(0, 0)))

    def result(self):
        right = ops.diag(self.confusion)
        truth, predicted = ops.sum(self.confusion, axis=1), ops.sum(self.confusion, axis=0)
        iou = right / ops.maximum(truth + predicted - right, 1)
        occurs = ops.cast(truth > 0, self.dtype)
        return ops.sum(occurs * iou) / ops.maximum(ops.sum(occurs), 1)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def confusion_matrix(truth, prediction, classes):
    """How many pixels of the true class (row) were given which class (column); int64.

    Pixels whose truth is the ignored label are left out. Matrices of several images add up.
    """
    counted = truth != IGNORED_LABEL
    pairs = truth[counted].astype(np.int64) * classes + prediction[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def scores(confusion):
    """Mean IoU, IoU of every class and pixel accuracy.

    The IoU (intersection over union) of a class is the number of pixels that have it in truth and
    prediction, divided by the number of those that have it in either. The mean is over the classes
    that occur in the truth, the same ones for every network. The IoU of other classes is NaN.
    """
    right = np.diag(confusion)
    truth, predicted = confusion.sum(1), confusion.sum(0)
    iou = np.full(len(confusion), np.nan)
    occurs = truth > 0
    iou[occurs] = right[occurs] / (truth + predicted - right)[occurs]
    return {
        "mean_iou": float(np.mean(iou[occurs])),
        "pixel_accuracy": float(right.sum() / truth.sum()),
        "iou": iou.tolist(),
    }

"""How good a segmentation is; ignored pixels don't count."""

import keras
import numpy as np
from keras import ops
from scipy.ndimage import distance_transform_edt

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
class MeanIoU(keras.metrics.MeanIoU):
    """Keras's mean IoU, over the classes that occur in the truth: the same for every network.

    Keras also counts classes that only the predictions have.
    """

    def __init__(self, num_classes, name="mean_iou", ignore_class=IGNORED_LABEL, **kwargs):
        super().__init__(num_classes, name=name, ignore_class=ignore_class, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the pixels of labels and of logits."""
        super().update_state(y_true, ops.argmax(y_pred, axis=-1), sample_weight)

    def result(self):
        confusion = ops.cast(self.total_cm, "float32")
        right = ops.diag(confusion)
        truth, predicted = ops.sum(confusion, axis=1), ops.sum(confusion, axis=0)
        iou = right / ops.maximum(truth + predicted - right, 1)
        occurs = ops.cast(truth > 0, "float32")
        return ops.sum(occurs * iou) / ops.maximum(ops.sum(occurs), 1)


def near_borders(label, width):
    """The label (H, W), with pixels ignored that are further than `width` from another label.

    The mean IoU of what is left is the trimap measure of the CRF literature. The distance is that
    of pixel centres; ignored pixels are a label like others here.
    """
    distance = np.full(label.shape, np.inf)
    for value in np.unique(label):
        inside = label == value
        if not inside.all():
            distance[inside] = distance_transform_edt(inside)[inside]
    return np.where(distance <= width, label, IGNORED_LABEL)


def scores(confusion):
    """Mean IoU, IoU of every class and pixel accuracy; from a confusion matrix, truth in rows.

    The IoU (intersection over union) of a class is the number of pixels that have it in truth and
    prediction, divided by the number of those that have it in either. The mean is over the classes
    that occur in the truth. The IoU of other classes is NaN.
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

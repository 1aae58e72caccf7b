"""How good a segmentation is, from one confusion matrix over all images."""

import numpy as np

from examples.files import IGNORED_LABEL


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

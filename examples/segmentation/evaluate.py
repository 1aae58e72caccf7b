"""How good trained networks are."""

import numpy as np
from keras import ops

from examples.segmentation.metrics import confusion_matrix
from examples.segmentation.networks import count_classes


def predict_labels(network, image):
    """The most probable label of every pixel of a uint8 RGB image of any size; uint8."""
    logits = network(image[None].astype(np.float32), training=False)
    return np.asarray(ops.argmax(logits[0], axis=-1)).astype(np.uint8)


def measure(network, examples):
    """The confusion matrix over all examples."""
    classes = count_classes(network)
    total = np.zeros((classes, classes), np.int64)
    for example in examples:
        prediction = predict_labels(network, example["image"])
        total += confusion_matrix(example["label"], prediction, classes)
    return total

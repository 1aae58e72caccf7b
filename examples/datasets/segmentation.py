"""What the builders of segmentation data sets have in common."""

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.pairing import check_same_size


def features():
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "name": tfds.features.Text(),
        }
    )


def example(name, image, label):
    """One example; raises a ValueError if the image and the label have different sizes."""
    check_same_size(name, image, "label", label)
    return {"image": image, "label": np.asarray(label, np.uint8), "name": name}

"""What the builders of segmentation data sets have in common."""

import numpy as np
import tensorflow_datasets as tfds

IGNORE = 255  # the label of pixels that count neither in training nor in evaluation


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
    if image.shape[:2] != label.shape[:2]:
        raise ValueError(
            f"{name}: the image and the label must have the same size. "
            f"Received: image.shape={image.shape}, label.shape={label.shape}"
        )
    return {"image": image, "label": np.asarray(label, np.uint8), "name": name}

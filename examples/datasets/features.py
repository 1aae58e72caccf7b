"""The features of the examples of all data sets."""

import numpy as np
import tensorflow_datasets as tfds


def joint_upsampling_features(channels, size=(None, None)):
    """The features of a data set whose target has `channels` channels."""
    target = tfds.features.Tensor(shape=(*size, channels), dtype=np.float32, encoding="bytes")
    return _features(size, target=target)


def segmentation_features():
    return _features(label=tfds.features.Image(shape=(None, None, 1), encoding_format="png"))


def _features(size=(None, None), **answer):
    image = tfds.features.Image(shape=(*size, 3), encoding_format="png")
    return tfds.features.FeaturesDict({"image": image, **answer, "name": tfds.features.Text()})


def example(name, image, what, answer):
    """One example; a ValueError unless the image and the answer (`what`) have the same size."""
    if image.shape[:2] != answer.shape[:2]:
        raise ValueError(
            f"{name}: the image and the {what} must have the same size. "
            f"Received: image.shape={image.shape}, {what}.shape={answer.shape}"
        )
    return {"image": image, what: answer, "name": name}

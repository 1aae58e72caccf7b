"""What the builders of joint upsampling data sets have in common."""

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.pairing import check_same_size


def features(channels, size=(None, None)):
    """The features of a data set whose target has `channels` channels."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(*size, 3), encoding_format="png"),
            "target": tfds.features.Tensor(
                shape=(*size, channels), dtype=np.float32, encoding="bytes"
            ),
            "name": tfds.features.Text(),
        }
    )


def example(name, image, target):
    """One example; raises a ValueError if the image and the target have different sizes."""
    check_same_size(name, image, "target", target)
    return {"image": image, "target": target, "name": name}

"""The tfds builder of a folder of your own images with a label for every pixel."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import segmentation_features
from examples.datasets.paired_folder import PairedFolder, PairedFolderConfig, paired_files
from examples.files import IGNORED_LABEL, LABEL_SUFFIXES, read_label


@dataclasses.dataclass(eq=False, kw_only=True)
class LabelsConfig(PairedFolderConfig):
    """Which files, and how to read them; made by `labels_config`."""

    ignore: int


def labels_config(folder, images="images", labels="labels", ignore=IGNORED_LABEL):
    """The configuration for a folder of images and labels, paired as in `paired_files`.

    Args:
        folder: the folder.
        images: sub-folder of the images (PNG, JPEG); "." if they are in the folder itself.
        labels: sub-folder of the labels, 8-bit PNGs: grey, or with a palette whose indices are
            the labels.
        ignore: int, number in the files that marks pixels that don't count; it becomes 255 in
            the data set. 255 itself always marks such pixels.
    """
    files = paired_files(folder, images, labels, LABEL_SUFFIXES, ignore)
    description = f"Images in {images}, labels in {labels}."
    return LabelsConfig(**files, description=description, ignore=ignore)


class ImageFolderLabels(PairedFolder):
    """Images with a label for every pixel, from a folder."""

    VERSION = tfds.core.Version("1.0.0")
    PARTNER = "label"

    def _info(self):
        return self.dataset_info_from_configs(
            description="Images with a label for every pixel, from a folder.",
            features=segmentation_features(),
        )

    def read_partner(self, path):
        label = read_label(path)
        return np.where(label == self.builder_config.ignore, np.uint8(IGNORED_LABEL), label)

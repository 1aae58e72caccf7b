"""The tfds builder of a folder of a person's own images with a label for every pixel."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.pairing import config_name, find_pairs
from examples.datasets.segmentation import example, features
from examples.files import IGNORED_LABEL, LABEL_SUFFIXES, read_image, read_label


@dataclasses.dataclass(eq=False, kw_only=True)
class LabelsConfig(tfds.core.BuilderConfig):
    """Which files, and how to read them; made by `labels_config`."""

    # {split: [(name, image, label)]}; tfds prints its configurations, and this one may be long
    pairs: dict = dataclasses.field(repr=False)
    ignore: int


def labels_config(folder, images="images", labels="labels", ignore=IGNORED_LABEL):
    """The configuration for a folder of images and labels.

    An image and its label have the same file name but for the suffix. If the folder has no such
    pairs but its sub-folders have, each of those is a split; else there is one split, `train`.

    Args:
        folder: the folder.
        images: sub-folder of the images (PNG, JPEG); "." if they are in the folder itself.
        labels: sub-folder of the labels, 8-bit PNGs: grey, or with a palette whose indices are
            the labels.
        ignore: int, the number in the files of pixels that don't count; 255 always is one.
            Defaults to 255, which is what it becomes in the data set.

    Raises:
        FileNotFoundError: if there are no pairs, or if a file has no partner: all are named.
    """
    folder = Path(folder)
    pairs = find_pairs(folder, images, labels, LABEL_SUFFIXES)
    return LabelsConfig(
        name=config_name(folder, pairs, images, labels, ignore),
        description=f"Images in {images}, labels in {labels}.",
        pairs=pairs,
        ignore=ignore,
    )


class ImageFolderLabels(tfds.core.GeneratorBasedBuilder):
    """Images with a label for every pixel, from a folder."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            description="Images with a label for every pixel, from a folder.",
            features=features(),
        )

    def _split_generators(self, dl_manager):
        pairs = self.builder_config.pairs
        return {split: self._generate_examples(files) for split, files in pairs.items()}

    def _generate_examples(self, files):
        for name, image_path, label_path in files:
            label = read_label(label_path)
            label = np.where(label == self.builder_config.ignore, np.uint8(IGNORED_LABEL), label)
            try:
                yield name, example(name, read_image(image_path), label)
            except ValueError as error:
                raise ValueError(f"{image_path} and {label_path}: {error}") from error

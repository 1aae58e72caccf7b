"""The tfds builder of a folder of a person's own pairs of images and depth or flow."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.joint_upsampling import example, features
from examples.datasets.pairing import config_name, find_pairs
from examples.files import TARGET_SUFFIXES, read_image, read_target


@dataclasses.dataclass(eq=False, kw_only=True)
class PairsConfig(tfds.core.BuilderConfig):
    """Which files, and how to read them; made by `pairs_config`."""

    # {split: [(name, image, target)]}; tfds prints its configurations, and this one may be long
    pairs: dict = dataclasses.field(repr=False)
    channels: int
    unknown: float | None
    scale: float


def pairs_config(folder, images="images", targets="targets", unknown=None, scale=1.0):
    """The configuration for a folder of pairs.

    An image and its target have the same file name but for the suffix. If the folder has no such
    pairs but its sub-folders have, each of those is a split; else there is one split, `train`.

    Args:
        folder: the folder.
        images: sub-folder of the images (PNG, JPEG); "." if they are in the folder itself.
        targets: sub-folder of the targets: depth (grey PNG of 8 or 16 bits, .npy) or flow (.flo);
            "." as above.
        unknown, scale: see `examples.files.read_target`.

    Raises:
        FileNotFoundError: if there are no pairs, or if a file has no partner: all are named.
    """
    folder = Path(folder)
    pairs = find_pairs(folder, images, targets, TARGET_SUFFIXES)
    _, _, first = next(iter(pairs.values()))[0]
    return PairsConfig(
        name=config_name(folder, pairs, images, targets, unknown, scale),
        description=f"Images in {images}, targets in {targets}.",
        pairs=pairs,
        channels=read_target(first, unknown, scale).shape[2],
        unknown=unknown,
        scale=scale,
    )


class ImageFolderPairs(tfds.core.GeneratorBasedBuilder):
    """Pairs of images and depth or flow from a folder."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            description="Images with depth or optical flow, from a folder.",
            features=features(self.builder_config.channels),
        )

    def _split_generators(self, dl_manager):
        pairs = self.builder_config.pairs
        return {split: self._generate_examples(files) for split, files in pairs.items()}

    def _generate_examples(self, files):
        config = self.builder_config
        for name, image_path, target_path in files:
            target = read_target(target_path, config.unknown, config.scale)
            if target.shape[2] != config.channels:
                raise ValueError(
                    f"{target_path} must have {config.channels} channels, as the first target has. "
                    f"Received: {target.shape[2]}"
                )
            if np.isnan(target).all():
                raise ValueError(f"{target_path} has no pixel whose value is known")
            try:
                yield name, example(name, read_image(image_path), target)
            except ValueError as error:
                raise ValueError(f"{image_path} and {target_path}: {error}") from error

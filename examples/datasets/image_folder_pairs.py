"""The tfds builder of a folder of your own pairs of images and depth or flow."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import joint_upsampling_features
from examples.datasets.paired_folder import PairedFolder, PairedFolderConfig, paired_files
from examples.files import TARGET_SUFFIXES, read_target


@dataclasses.dataclass(eq=False, kw_only=True)
class PairsConfig(PairedFolderConfig):
    """Which files, and how to read them; made by `pairs_config`."""

    channels: int
    unknown: float | None
    scale: float


def pairs_config(folder, images="images", targets="targets", unknown=None, scale=1.0):
    """The configuration for a folder of images and targets, paired as in `paired_files`.

    Args:
        folder: the folder.
        images: sub-folder of the images (PNG, JPEG); "." if they are in the folder itself.
        targets: sub-folder of the targets: depth (grey PNG of 8 or 16 bits, .npy) or flow (.flo);
            "." as above.
        unknown, scale: see `examples.files.read_target`.
    """
    files = paired_files(folder, images, targets, TARGET_SUFFIXES, unknown, scale)
    _, _, first = next(iter(files["pairs"].values()))[0]
    return PairsConfig(
        **files,
        description=f"Images in {images}, targets in {targets}.",
        channels=read_target(first, unknown, scale).shape[2],
        unknown=unknown,
        scale=scale,
    )


class ImageFolderPairs(PairedFolder):
    """Pairs of images and depth or flow from a folder."""

    VERSION = tfds.core.Version("1.0.0")
    PARTNER = "target"

    def _info(self):
        return self.dataset_info_from_configs(
            description="Images with depth or optical flow, from a folder.",
            features=joint_upsampling_features(self.builder_config.channels),
        )

    def read_partner(self, path):
        config = self.builder_config
        target = read_target(path, config.unknown, config.scale)
        if target.shape[2] != config.channels:
            raise ValueError(
                f"{path} must have {config.channels} channels, as the first target has. "
                f"Received: {target.shape[2]}"
            )
        if np.isnan(target).all():
            raise ValueError(f"{path} has no pixel whose value is known")
        return target

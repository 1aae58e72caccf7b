"""The tfds builders of a folder of your own images with depth, flow or labels, paired by name."""

import dataclasses
import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import (
    example,
    joint_upsampling_features,
    segmentation_features,
)
from examples.files import (
    IGNORED_LABEL,
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    TARGET_SUFFIXES,
    read_image,
    read_label,
    read_target,
)


@dataclasses.dataclass(eq=False, kw_only=True)
class FolderConfig(tfds.core.BuilderConfig):
    """Which files, and how to read them; made by `pairs_config` or `labels_config`."""

    # {split: [(name, image, partner)]}; tfds prints its configurations, and this one may be long
    pairs: dict = dataclasses.field(repr=False)
    read: Callable = dataclasses.field(repr=False)  # function of the path of a partner
    channels: int = 1  # of a partner


def pairs_config(folder, images="images", targets="targets", unknown=None, scale=1.0):
    """The configuration for a folder of images and targets, paired as in `paired_files`.

    Args:
        folder: the folder.
        images: sub-folder of the images (PNG, JPEG); "." if they are in the folder itself.
        targets: sub-folder of the targets: depth (grey PNG of 8 or 16 bits, .npy) or flow (.flo);
            "." as above.
        unknown, scale: see `examples.files.read_target`.
    """

    def read(path):
        target = read_target(path, unknown, scale)
        if target.shape[2] != channels:
            raise ValueError(
                f"{path} must have {channels} channels, as the first target has. "
                f"Received: {target.shape[2]}"
            )
        if np.isnan(target).all():
            raise ValueError(f"{path} has no pixel whose value is known")
        return target

    files = paired_files(folder, images, targets, TARGET_SUFFIXES, unknown, scale)
    _, _, first = next(iter(files["pairs"].values()))[0]
    channels = read_target(first, unknown, scale).shape[2]
    return FolderConfig(**files, read=read, channels=channels)


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

    def read(path):
        label = read_label(path)
        return np.where(label == ignore, np.uint8(IGNORED_LABEL), label)

    files = paired_files(folder, images, labels, LABEL_SUFFIXES, ignore)
    return FolderConfig(**files, read=read)


class ImageFolderPairs(tfds.core.GeneratorBasedBuilder):
    """Images with depth or optical flow, from a folder."""

    VERSION = tfds.core.Version("1.0.0")
    PARTNER = "target"

    def _info(self):
        return self._make_info(joint_upsampling_features(self.builder_config.channels))

    def _make_info(self, features):
        return self.dataset_info_from_configs(
            description=self.__doc__, features=features, metadata=tfds.core.MetadataDict()
        )

    def _split_generators(self, dl_manager):
        pairs = self.builder_config.pairs
        return {split: self._generate_examples(split, files) for split, files in pairs.items()}

    def _generate_examples(self, split, files):
        checksum = 0
        for name, image_path, path in files:
            image, partner = read_image(image_path), self.builder_config.read(path)
            for part in (name.encode(), image.tobytes(), partner.tobytes()):
                checksum = zlib.crc32(part, checksum)
            try:
                yield name, example(name, image, self.PARTNER, partner)
            except ValueError as error:
                raise ValueError(f"{image_path} and {path}: {error}") from error
        self.info.metadata[split] = f"{checksum:08x}"


class ImageFolderLabels(ImageFolderPairs):
    """Images with a label for every pixel, from a folder."""

    PARTNER = "label"

    def _info(self):
        return self._make_info(segmentation_features())


def paired_files(folder, images, partners, suffixes, *how):
    """Return the arguments `name` and `pairs` of a `FolderConfig`.

    An image and its partner have the same file name but for the suffix. If the folder has no such
    pairs but its sub-folders have, each of those is a split; else there is one split, `train`.

    Args:
        folder: the folder.
        images, partners: sub-folders, "." for the folder itself.
        suffixes: of the partners.
        *how: other arguments that decide how the files are read.

    Raises:
        FileNotFoundError: if there are no pairs, or if a file has no partner: all are named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    splits = {"train": folder}
    if not _files(folder / images, IMAGE_SUFFIXES):
        subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        splits = {path.name: path for path in subfolders if _files(path / images, IMAGE_SUFFIXES)}
    if not splits:
        raise FileNotFoundError(f"{folder} has no images in {images}, and no sub-folder has")
    pairs = {
        split: _match(path / images, path / partners, suffixes) for split, path in splits.items()
    }
    return {"name": _config_name(folder, pairs, images, partners, *how), "pairs": pairs}


def _match(images, partners, suffixes):
    """[(name, image, partner)] of two folders, or of one."""
    same = images.resolve() == partners.resolve()
    # In a shared folder every PNG is an image.
    suffixes = [s for s in suffixes if not (same and s in IMAGE_SUFFIXES)]
    by_name = _files(images, IMAGE_SUFFIXES), _files(partners, suffixes)
    problems = []
    for folder, files, others in ((images, *by_name), (partners, *by_name[::-1])):
        for name, paths in files.items():
            if len(paths) > 1:
                problems.append(f"{folder} has {len(paths)} files named {name}")
            if name not in others:
                problems.append(f"{paths[0]} has no partner")
    if problems:
        raise FileNotFoundError(
            f"The files of {images} and {partners} must be pairs of one name:\n  "
            + "\n  ".join(problems)
        )
    return [(name, by_name[0][name][0], by_name[1][name][0]) for name in sorted(by_name[0])]


def _files(folder, suffixes):
    """{name without suffix: paths} of the files with one of the suffixes."""
    files = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in suffixes and not path.name.startswith("."):
                files.setdefault(path.stem, []).append(path)
    return files


def _config_name(folder, pairs, *how):
    """A name that changes with the files and with how they are read.

    tfds would reuse prepared data of the same name, although the files have changed.
    """
    identity = [str(folder.resolve()), *how]
    for split, files in pairs.items():
        for path in (path for _, *both in files for path in both):
            status = path.stat()
            identity.append((split, path.name, status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
    return re.sub(r"[^\w-]", "_", folder.resolve().name) + f"-{digest}"

"""The tfds builder of a folder of a person's own pairs of images and depth or flow."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.joint_upsampling import example, features
from examples.files import IMAGE_SUFFIXES, TARGET_SUFFIXES, read_image, read_target


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
    pairs = _find_pairs(folder, images, targets)
    _, _, first = next(iter(pairs.values()))[0]
    # A folder that changed, or that is read in another way, must not be taken for what was
    # prepared before.
    identity = [str(folder.resolve()), images, targets, unknown, scale]
    for split, files in pairs.items():
        for path in (path for _, *both in files for path in both):
            status = path.stat()
            identity.append((split, path.name, status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
    return PairsConfig(
        name=re.sub(r"[^\w-]", "_", folder.resolve().name) + f"-{digest}",
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


def _find_pairs(folder, images, targets):
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    splits = {"train": folder}
    if not _files(folder / images, IMAGE_SUFFIXES):
        subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        splits = {path.name: path for path in subfolders if _files(path / images, IMAGE_SUFFIXES)}
    if not splits:
        raise FileNotFoundError(f"{folder} has no images in {images}, and no sub-folder has")
    return {split: _match(path / images, path / targets) for split, path in splits.items()}


def _match(images, targets):
    """[(name, image, target)] of two folders, or of one."""
    same = images.resolve() == targets.resolve()
    # In one folder a PNG is an image.
    target_suffixes = [s for s in TARGET_SUFFIXES if not (same and s in IMAGE_SUFFIXES)]
    by_name = _files(images, IMAGE_SUFFIXES), _files(targets, target_suffixes)
    problems = []
    for folder, files, others in ((images, *by_name), (targets, *by_name[::-1])):
        for name, paths in files.items():
            if len(paths) > 1:
                problems.append(f"{folder} has {len(paths)} files named {name}")
            if name not in others:
                problems.append(f"{paths[0]} has no partner")
    if problems:
        raise FileNotFoundError(
            f"The files of {images} and {targets} must be pairs of one name:\n  "
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

"""Folders of images and their partners (targets or labels), paired by name."""

import dataclasses
import hashlib
import re
from pathlib import Path

import tensorflow_datasets as tfds

from examples.datasets.features import example
from examples.files import IMAGE_SUFFIXES, read_image


@dataclasses.dataclass(eq=False, kw_only=True)
class PairedFolderConfig(tfds.core.BuilderConfig):
    """Which files a data set has."""

    # {split: [(name, image, partner)]}; tfds prints its configurations, and this one may be long
    pairs: dict = dataclasses.field(repr=False)


class PairedFolder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base class: a subclass says what a partner is (`PARTNER`), and reads it (`read_partner`)."""

    def _split_generators(self, dl_manager):
        pairs = self.builder_config.pairs
        return {split: self._generate_examples(files) for split, files in pairs.items()}

    def _generate_examples(self, files):
        for name, image_path, path in files:
            partner = self.read_partner(path)
            try:
                yield name, example(name, read_image(image_path), self.PARTNER, partner)
            except ValueError as error:
                raise ValueError(f"{image_path} and {path}: {error}") from error


def paired_files(folder, images, partners, suffixes, *how):
    """Return the arguments `name` and `pairs` of a `PairedFolderConfig`.

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

"""Folders of images and of what belongs to them, paired by name."""

import hashlib
import re

from examples.files import IMAGE_SUFFIXES


def check_same_size(name, image, what, other):
    """Raise a ValueError if the image and what belongs to it have different sizes."""
    if image.shape[:2] != other.shape[:2]:
        raise ValueError(
            f"{name}: the image and the {what} must have the same size. "
            f"Received: image.shape={image.shape}, {what}.shape={other.shape}"
        )


def find_pairs(folder, images, targets, target_suffixes):
    """{split: [(name, image, target)]} of a folder; its files have one name but for the suffix.

    If the folder has no such pairs but its sub-folders have, each of those is a split; else there
    is one split, `train`. `images` and `targets` are sub-folders, "." for the folder itself.

    Raises:
        FileNotFoundError: if there are no pairs, or if a file has no partner: all are named.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    splits = {"train": folder}
    if not _files(folder / images, IMAGE_SUFFIXES):
        subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        splits = {path.name: path for path in subfolders if _files(path / images, IMAGE_SUFFIXES)}
    if not splits:
        raise FileNotFoundError(f"{folder} has no images in {images}, and no sub-folder has")
    return {
        split: _match(path / images, path / targets, target_suffixes)
        for split, path in splits.items()
    }


def _match(images, targets, target_suffixes):
    """[(name, image, target)] of two folders, or of one."""
    same = images.resolve() == targets.resolve()
    # In one folder a PNG is an image.
    target_suffixes = [s for s in target_suffixes if not (same and s in IMAGE_SUFFIXES)]
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


def config_name(folder, pairs, *how):
    """A name for tfds of the files of `find_pairs` as they are now, read in the way `how`.

    A folder that changed, or that is read in another way, must not be taken for what was prepared
    before.
    """
    identity = [str(folder.resolve()), *how]
    for split, files in pairs.items():
        for path in (path for _, *both in files for path in both):
            status = path.stat()
            identity.append((split, path.name, status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
    return re.sub(r"[^\w-]", "_", folder.resolve().name) + f"-{digest}"

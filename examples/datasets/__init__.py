"""The data sets of the example programs, as tfds builders.

Every example has `image` (uint8 RGB) and `name`. For joint upsampling it has a `target` (float32,
one channel of depth or two of flow, NaN where unknown), for segmentation a `label` (uint8, one
channel, 255 where a pixel does not count).
"""

import re
from pathlib import Path

import tensorflow_datasets as tfds

from examples.datasets.image_folders import (
    ImageFolderLabels,
    ImageFolderPairs,
    labels_config,
    pairs_config,
)
from examples.datasets.mpi_sintel import MpiSintel
from examples.datasets.nyu_depth_v2_labeled import NyuDepthV2Labeled
from examples.datasets.pac_scenes import PacManyScenes, PacScenes
from examples.datasets.voc2012_segmentation import Voc2012Segmentation

FOLDERS = {
    "image_folder_labels": (ImageFolderLabels, labels_config),
    "image_folder_pairs": (ImageFolderPairs, pairs_config),
}
RELEASES = {
    "many_scenes": PacManyScenes,
    "mpi_sintel": MpiSintel,
    "nyu_depth_v2_labeled": NyuDepthV2Labeled,
    "scenes": PacScenes,
    "voc2012_segmentation": Voc2012Segmentation,
}
NAMES = tuple(sorted(FOLDERS | RELEASES))


def load(name, split, data_dir, manual_dir=None, **config):
    """Return a split of a data set as a `tf.data.Dataset`; its order is the same every time.

    Args:
        split: a split of the data set or a part of one, as tfds writes it: `"train[:80%]"`.
        name, data_dir, manual_dir, **config: see `prepare`.
    """
    builder = prepare(name, data_dir, manual_dir, **config)
    return builder.as_dataset(split=split, shuffle_files=False)


def prepare(name, data_dir, manual_dir=None, **config):
    """Return the builder of a data set, which is prepared in `data_dir` the first time.

    Args:
        name: one of `NAMES`.
        data_dir: the folder for what is prepared (and downloaded, under `downloads`).
        manual_dir: a folder with the files of the data set, instead of a download. For
            `image_folder_pairs` and `image_folder_labels` the folder of the pairs.
        **config: for `mpi_sintel` `render_pass`, one of "clean" (default), "final" and "albedo";
            for `image_folder_pairs` the arguments of `pairs_config` and for `image_folder_labels`
            those of `labels_config`; nothing for the others.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        ValueError: if there is no such data set or config, or if a file is damaged.
        FileNotFoundError: if `manual_dir` lacks what the data set needs.
    """
    builder, still_needed = _builder(name, data_dir, manual_dir, dict(config))
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=still_needed)
        )
    except OSError:
        # Another process may have prepared the same data meanwhile.
        builder, _ = _builder(name, data_dir, manual_dir, config)
        if not builder.data_path.exists():
            raise
    return builder


def fingerprint(builder, split):
    """Text that differs where a split does: of a folder the checksum of its images."""
    names = re.split(r"\[.*?\]|\+", split.replace(" ", ""))  # "a[:9]+b" has the splits a and b
    checksums = {
        name: checksum
        for name, checksum in (builder.info.metadata or {}).items()
        if name in names or "all" in names
    }
    which = f"{builder.name} {checksums}" if checksums else builder.info.full_name
    return f"{which} {split}"


def _builder(name, data_dir, manual_dir, config):
    """Return the builder and the manual directory that it still needs."""
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {NAMES}. Received: name={name!r}")
    if name in FOLDERS:
        if manual_dir is None:
            raise ValueError(
                f"{name} needs `manual_dir` (--manual-dir), the folder of its files. Received: None"
            )
        builder_class, make_config = FOLDERS[name]
        return builder_class(data_dir=data_dir, config=make_config(manual_dir, **config)), None
    if name == "mpi_sintel":
        render_pass = config.pop("render_pass", "clean")
        if render_pass not in MpiSintel.builder_configs:
            raise ValueError(
                f"`render_pass` must be one of {tuple(MpiSintel.builder_configs)}. "
                f"Received: render_pass={render_pass!r}"
            )
        builder = MpiSintel(data_dir=data_dir, config=render_pass)
    else:
        builder = RELEASES[name](data_dir=data_dir)
    if config:
        raise ValueError(
            f"{name} takes no options of its files: those are for {' and '.join(FOLDERS)}. "
            f"Received: {', '.join(sorted(config))}"
        )
    names = getattr(builder, "MANUAL_NAMES", ())
    if manual_dir and names and not any(Path(manual_dir, name).exists() for name in names):
        raise FileNotFoundError(
            f"{manual_dir} has none of {names}. {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    return builder, manual_dir

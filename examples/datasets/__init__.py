"""The data sets of joint upsampling, as tfds builders with the same features.

Every example has `image` (uint8 RGB), `target` (float32, one channel of depth or two of flow, NaN
where unknown) and `name`.
"""

from pathlib import Path

import tensorflow_datasets as tfds

from examples.datasets.image_folder_pairs import ImageFolderPairs, pairs_config
from examples.datasets.mpi_sintel import MpiSintel
from examples.datasets.nyu_depth_v2_labeled import NyuDepthV2Labeled
from examples.datasets.pac_scenes import PacScenes

NAMES = ("image_folder_pairs", "mpi_sintel", "nyu_depth_v2_labeled", "scenes")


def load(name, split, data_dir, manual_dir=None, **config):
    """Return a data set, prepared in `data_dir` the first time.

    Args:
        name: one of `NAMES`.
        split: a split of that data set or a part of one, in the words of tfds: `"train[:80%]"`.
        data_dir: the folder for what is prepared (and downloaded, under `downloads`).
        manual_dir: a folder with the files of the data set, instead of a download. For
            `image_folder_pairs` the folder of the pairs.
        **config: for `mpi_sintel` `render_pass`, one of "clean" (default), "final" and "albedo";
            for `image_folder_pairs` the arguments of `pairs_config`; nothing for the others.

    Returns:
        A `tf.data.Dataset` of dictionaries; its order is the same every time.

    Raises:
        ValueError: if there is no such data set, split or config, or if a file is damaged.
        FileNotFoundError: if `manual_dir` lacks what the data set needs.
    """
    builder, still_needed = _builder(name, data_dir, manual_dir, dict(config))
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=still_needed)
        )
    except OSError:
        # Another process may have prepared the same meanwhile.
        builder, _ = _builder(name, data_dir, manual_dir, config)
        if not builder.data_path.exists():
            raise
    return builder.as_dataset(split=split, shuffle_files=False)


def _builder(name, data_dir, manual_dir, config):
    """Return the builder and the manual directory that it still needs."""
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {NAMES}. Received: name={name!r}")
    if name == "image_folder_pairs":
        if manual_dir is None:
            raise ValueError("image_folder_pairs needs `manual_dir`, the folder of the pairs")
        return ImageFolderPairs(data_dir=data_dir, config=pairs_config(manual_dir, **config)), None
    if name == "mpi_sintel":
        render_pass = config.pop("render_pass", "clean")
        if render_pass not in MpiSintel.builder_configs:
            raise ValueError(
                f"`render_pass` must be one of {tuple(MpiSintel.builder_configs)}. "
                f"Received: render_pass={render_pass!r}"
            )
        builder = MpiSintel(data_dir=data_dir, config=render_pass)
    else:
        builder_class = {"nyu_depth_v2_labeled": NyuDepthV2Labeled, "scenes": PacScenes}[name]
        builder = builder_class(data_dir=data_dir)
    if config:
        raise ValueError(f"{name} knows no argument {sorted(config)}")
    names = getattr(builder, "MANUAL_NAMES", ())
    if manual_dir and names and not any(Path(manual_dir, name).exists() for name in names):
        raise FileNotFoundError(
            f"{manual_dir} has none of {names}. {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    return builder, manual_dir

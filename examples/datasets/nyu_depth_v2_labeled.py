"""The tfds builder of the labelled part of NYU Depth V2."""

import contextlib

import h5py
import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import example, joint_upsampling_features
from examples.datasets.release import check_counts, manual_path

FILE = "nyu_depth_v2_labeled.mat"
URL = f"https://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/{FILE}"


class NyuDepthV2Labeled(tfds.core.GeneratorBasedBuilder):
    """1449 images of rooms with their depth in metres: the first 1000 to train, 449 to test.

    The checksum in `checksums.tsv` is the one that several users of the file have published
    independently; the official page has none.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_NAMES = (FILE,)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"It is downloaded (2.8 GB), or taken from the manual directory: put {FILE} there, from "
        "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html."
    )
    SPLITS = {"train": range(1000), "test": range(1000, 1449)}

    def _info(self):
        return self.dataset_info_from_configs(
            description="Indoor images with depth in metres (missing depth filled in by the "
            "authors), in the split of joint upsampling papers.",
            features=joint_upsampling_features(1),
            homepage="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
            citation="@inproceedings{Silberman:ECCV12, title={Indoor Segmentation and Support "
            "Inference from RGBD Images}, author={Silberman, Nathan and Hoiem, Derek and Kohli, "
            "Pushmeet and Fergus, Rob}, booktitle={ECCV}, year={2012}}",
        )

    def _split_generators(self, dl_manager):
        path = manual_path(dl_manager, self.MANUAL_NAMES) or dl_manager.download_and_extract(URL)
        with _open(path) as (images, depths):
            count = sum(map(len, self.SPLITS.values()))
            counts = {"images": images.shape[0], "depths": depths.shape[0]}
            check_counts(path, counts, {"images": count, "depths": count})
            if images.ndim != 4 or images.shape[1] != 3 or images.shape[2:] != depths.shape[1:]:
                raise ValueError(
                    f"{path}: `images` must have shape (n, 3, cols, rows) and `depths` (n, cols, "
                    f"rows), they have {images.shape} and {depths.shape}"
                )
        return {
            split: self._generate_examples(path, indices) for split, indices in self.SPLITS.items()
        }

    def _generate_examples(self, path, indices):
        with _open(path) as (images, depths):
            for index in indices:
                try:
                    image, depth = images[index], depths[index]
                except OSError as error:
                    raise ValueError(f"{path} is damaged at image {index}: {error}") from error
                # MATLAB counts rows first, and its files are read columns first.
                target = depth.T[..., None].astype(np.float32)
                target[~(target > 0)] = np.nan
                image = np.ascontiguousarray(image.T)
                yield index, example(f"{index:04d}", image, "target", target)


@contextlib.contextmanager
def _open(path):
    """The images and depths in the file."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file, or it is truncated: {error}") from error
    with file:
        missing = {"images", "depths"} - file.keys()
        if missing:
            raise ValueError(f"{path} has no {sorted(missing)}, it has {sorted(file)}")
        yield file["images"], file["depths"]

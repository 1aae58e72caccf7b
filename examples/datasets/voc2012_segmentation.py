"""The tfds builder of Pascal VOC 2012 segmentation with the labels of SBD."""

import numpy as np
import scipy.io
import tensorflow_datasets as tfds

from examples.datasets.features import example, segmentation_features
from examples.datasets.release import check_counts, release_folder
from examples.files import read_image, read_label

VOC_ARCHIVE = "VOCtrainval_11-May-2012.tar"
VOC_URL = f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{VOC_ARCHIVE}"
SBD_ARCHIVE = "benchmark.tgz"
SBD_URL = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    f"{SBD_ARCHIVE}"
)


class Voc2012Segmentation(tfds.core.GeneratorBasedBuilder):
    """Photographs with 20 classes of objects and background; 255 at the borders of objects.

    `train_aug` has the images of VOC's train part with VOC's labels, and all others of SBD (the
    Semantic Boundaries Dataset) that are not in VOC's val part, with SBD's labels.

    The checksum of VOC in `checksums.tsv` is the one that several users of the file have published
    independently. For SBD no SHA-256 is known; the number of images and the checksum inside the
    archive show whether it is complete.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_NAMES = ("VOCdevkit", "VOC2012", VOC_ARCHIVE, "benchmark_RELEASE", SBD_ARCHIVE)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "It is downloaded (2.0 GB and 1.4 GB), or taken from the manual directory. Put there "
        f"{VOC_ARCHIVE} (from http://host.robots.ox.ac.uk/pascal/VOC/voc2012) or its folder "
        f"VOCdevkit, and {SBD_ARCHIVE} (from "
        "http://home.bharathh.info/pubs/codes/SBD/download.html) or its folder benchmark_RELEASE."
    )
    COUNTS = {"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10582}

    def _info(self):
        return self.dataset_info_from_configs(
            description="Photographs with a label for every pixel: background, 20 classes of "
            "objects, and 255 where it does not count.",
            features=segmentation_features(),
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
            citation="@article{Everingham15, title={The Pascal Visual Object Classes Challenge: A "
            "Retrospective}, author={Everingham, M. and Eslami, S. M. A. and Van Gool, L. and "
            "Williams, C. K. I. and Winn, J. and Zisserman, A.}, journal={IJCV}, year={2015}} "
            "@inproceedings{BharathICCV2011, title={Semantic Contours from Inverse Detectors}, "
            "author={Hariharan, Bharath and Arbelaez, Pablo and Bourdev, Lubomir and Maji, "
            "Subhransu and Malik, Jitendra}, booktitle={ICCV}, year={2011}}",
        )

    def _split_generators(self, dl_manager):
        given = {"VOCdevkit": "VOC2012", "VOC2012": "."}
        voc = release_folder(dl_manager, VOC_URL, "VOCdevkit/VOC2012", given)
        given = {"benchmark_RELEASE": "dataset"}
        sbd = release_folder(dl_manager, SBD_URL, "benchmark_RELEASE/dataset", given)
        lists = {
            split: _names(voc / "ImageSets" / "Segmentation" / f"{split}.txt")
            for split in ("train", "val", "trainval")
        }
        from_voc = set(lists["trainval"])
        from_sbd = [
            name
            for part in ("train", "val")
            for name in _names(sbd / f"{part}.txt")
            if name not in from_voc
        ]
        examples = {split: [(voc, name) for name in names] for split, names in lists.items()}
        examples["train_aug"] = examples["train"] + [(sbd, name) for name in from_sbd]
        counts = {split: len(both) for split, both in examples.items()}
        check_counts(f"{voc} with {sbd}", counts, self.COUNTS)
        return {split: self._generate_examples(both, voc, sbd) for split, both in examples.items()}

    def _generate_examples(self, examples, voc, sbd):
        for folder, name in examples:
            if folder == voc:
                image = read_image(voc / "JPEGImages" / f"{name}.jpg")
                label = read_label(voc / "SegmentationClass" / f"{name}.png")
            else:
                image = read_image(sbd / "img" / f"{name}.jpg")
                label = read_sbd_label(sbd / "cls" / f"{name}.mat")
            yield name, example(name, image, "label", label)


def read_sbd_label(path):
    """The label in a MATLAB file of SBD as uint8, (rows, cols, 1)."""
    try:
        with open(path, "rb") as file:
            label = scipy.io.loadmat(file)["GTcls"]["Segmentation"][0, 0]
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises many kinds on a damaged file
        raise ValueError(f"{path} is no label of SBD, or it is damaged: {error}") from error
    if label.dtype != np.uint8 or label.ndim != 2:
        raise ValueError(
            f"{path}: GTcls.Segmentation must be uint8 (rows, cols), it is {label.dtype} "
            f"{label.shape}"
        )
    return label[..., None]


def _names(path):
    """The image names in a list of a release."""
    return path.read_text().split()

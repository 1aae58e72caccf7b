"""Every builder passes tfds's own tests, on small files in the shape of the real ones."""

import shutil
import tempfile
from pathlib import Path
from unittest import mock

import tensorflow_datasets as tfds

from examples.datasets import pac_scenes
from examples.datasets.image_folders import (
    ImageFolderLabels,
    ImageFolderPairs,
    labels_config,
    pairs_config,
)
from examples.datasets.mpi_sintel import MpiSintel
from examples.datasets.nyu_depth_v2_labeled import NyuDepthV2Labeled
from examples.datasets.voc2012_segmentation import Voc2012Segmentation
from tests.support.small_datasets import (
    SMALL_NYU,
    SMALL_SINTEL_PAIRS,
    SMALL_VOC_COUNTS,
    make_labels,
    make_nyu,
    make_pairs,
    make_sintel,
    make_voc,
)


class BuilderTestCase(tfds.testing.DatasetBuilderTestCase):
    """Draws its dummy data before tfds looks for it."""

    SPLITS = {"train": 1}  # tfds reads the attributes of this class too

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.EXAMPLE_DIR)
        cls.make_dummy_data(Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def patch(cls, *target):
        patcher = mock.patch.object(*target)
        patcher.start()
        cls.addClassCleanup(patcher.stop)


class NyuDepthV2LabeledTest(BuilderTestCase):
    DATASET_CLASS = NyuDepthV2Labeled
    SPLITS = {"train": 3, "test": 2}
    DL_EXTRACT_RESULT = "downloads/whatever_tfds_calls_it"

    @classmethod
    def make_dummy_data(cls, folder):
        make_nyu(folder / cls.DL_EXTRACT_RESULT)
        cls.patch(NyuDepthV2Labeled, "SPLITS", SMALL_NYU)


class MpiSintelTest(BuilderTestCase):
    DATASET_CLASS = MpiSintel
    SPLITS = SMALL_SINTEL_PAIRS
    DL_EXTRACT_RESULT = "downloads"
    SKIP_CHECKSUMS = True  # none is published

    @classmethod
    def make_dummy_data(cls, folder):
        make_sintel(folder / cls.DL_EXTRACT_RESULT)
        cls.patch(MpiSintel, "PAIRS", SMALL_SINTEL_PAIRS)


class ImageFolderPairsTest(BuilderTestCase):
    DATASET_CLASS = ImageFolderPairs
    SPLITS = {"one": 3, "other": 2}

    @classmethod
    def make_dummy_data(cls, folder):
        cls.configs = []
        for suffix in (".png", ".npy", ".flo"):
            pairs = folder / suffix[1:]
            make_pairs(pairs / "one", 3, suffix), make_pairs(pairs / "other", 2, suffix)
            unknown = 0 if suffix == ".png" else None
            cls.configs.append(pairs_config(pairs, "rgb", "depth", unknown))
        cls.BUILDER_CONFIG_NAMES_TO_TEST = cls.configs

    def _make_builder(self, config=None):
        return super()._make_builder(config or self.configs[0])


class ImageFolderLabelsTest(BuilderTestCase):
    DATASET_CLASS = ImageFolderLabels
    SPLITS = {"one": 3, "other": 2}

    @classmethod
    def make_dummy_data(cls, folder):
        make_labels(folder / "one", 3), make_labels(folder / "other", 2)
        cls.config = labels_config(folder, ignore=4)
        cls.BUILDER_CONFIG_NAMES_TO_TEST = [cls.config]

    def _make_builder(self, config=None):
        return super()._make_builder(config or self.config)


class Voc2012SegmentationTest(BuilderTestCase):
    DATASET_CLASS = Voc2012Segmentation
    SPLITS = SMALL_VOC_COUNTS
    OVERLAPPING_SPLITS = ["trainval", "train_aug"]
    DL_EXTRACT_RESULT = "downloads"
    SKIP_CHECKSUMS = True  # there is one for VOC, none for SBD

    @classmethod
    def make_dummy_data(cls, folder):
        make_voc(folder / cls.DL_EXTRACT_RESULT)
        cls.patch(Voc2012Segmentation, "COUNTS", SMALL_VOC_COUNTS)


class PacScenesTest(BuilderTestCase):
    DATASET_CLASS = pac_scenes.PacScenes
    SPLITS = {"train": 2, "validation": 1}

    @classmethod
    def make_dummy_data(cls, folder):
        cls.patch(pac_scenes.PacScenes, "SCENES", cls.SPLITS)


del BuilderTestCase  # it is no test itself

"""The tfds builder of the drawn scenes."""

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import example, joint_upsampling_features
from examples.scenes.drawing import draw_scene


class PacScenes(tfds.core.GeneratorBasedBuilder):
    """Colour images and disparity of scenes that are drawn here; nothing is downloaded."""

    VERSION = tfds.core.Version("3.0.0")
    SIZE = 192
    SCENES = {"train": 256, "validation": 32}

    def _info(self):
        return self.dataset_info_from_configs(
            description="Drawn scenes for joint upsampling: an image with its disparity, in which "
            "many colour edges are no depth edges and some depth edges are no colour edges.",
            features=joint_upsampling_features(1, (self.SIZE, self.SIZE)),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SCENES}

    def _generate_examples(self, split):
        first = list(self.SCENES).index(split) * 1_000_000  # no scene is in both splits
        for index in range(self.SCENES[split]):
            image, disparity = draw_scene(np.random.default_rng(first + index), self.SIZE)
            name = f"{split}_{index:03d}"
            yield index, example(name, image, "target", disparity[..., None])


class PacManyScenes(PacScenes):
    """More and larger drawn scenes: those of the weights that come with the package."""

    SIZE = 224
    SCENES = {"train": 1024, "validation": 32}

"""The tfds builder of MPI Sintel."""

import numpy as np
import tensorflow_datasets as tfds

from examples.datasets.features import example, joint_upsampling_features
from examples.datasets.release import check_counts, release_folder
from examples.files import read_flow, read_image

ARCHIVE = "MPI-Sintel-complete.zip"
URL = f"https://files.is.tue.mpg.de/sintel/{ARCHIVE}"
PASSES = {
    "clean": "Shading and reflections, no blur and no haze.",
    "final": "Everything: motion blur, defocus and haze too.",
    "albedo": "The colours of the surfaces alone.",
}
# How many pairs at the end of a sequence are for validation; None: all of them.
VALIDATION = {"ambush_6": None, "market_6": None, "bamboo_2": 25, "cave_4": 25, "temple_2": 25}


class MpiSintel(tfds.core.GeneratorBasedBuilder):
    """Frames of an animated film with the optical flow to the next frame.

    The official page publishes no checksum of the archive and none is known here, so
    `checksums.tsv` has none. The number of pairs and the checksums inside the archive show whether
    the download is complete.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=description)
        for name, description in PASSES.items()
    ]
    MANUAL_NAMES = ("training", ARCHIVE)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"It is downloaded (5.3 GB), or taken from the manual directory. Put there {ARCHIVE} "
        "(from http://sintel.is.tue.mpg.de/downloads) or its folder `training`."
    )
    PAIRS = {"train": 908, "validation": 133}

    def _info(self):
        return self.dataset_info_from_configs(
            description="Frames of the film Sintel with optical flow in pixels; flow is unknown "
            "where the release says that it is invalid.",
            features=joint_upsampling_features(2),
            homepage="http://sintel.is.tue.mpg.de",
            citation="@inproceedings{Butler:ECCV:2012, title={A naturalistic open source movie for "
            "optical flow evaluation}, author={Butler, D. J. and Wulff, J. and Stanley, G. B. and "
            "Black, M. J.}, booktitle={ECCV}, year={2012}}",
        )

    def _split_generators(self, dl_manager):
        training = release_folder(dl_manager, URL, "training", {"training": "."})
        frames = {"train": [], "validation": []}
        for sequence, names in _sequences(training, self.builder_config.name).items():
            held_out = VALIDATION.get(sequence, 0)
            first = 0 if held_out is None else len(names) - held_out
            frames["train"] += names[:first]
            frames["validation"] += names[first:]
        counts = {split: len(names) for split, names in frames.items()}
        check_counts(training, counts, self.PAIRS)
        return {split: self._generate_examples(training, names) for split, names in frames.items()}

    def _generate_examples(self, training, names):
        has_masks = (training / "invalid").exists()
        for name in names:
            image = read_image(training / self.builder_config.name / f"{name}.png")
            flow = read_flow(training / "flow" / f"{name}.flo")
            if has_masks:
                path = training / "invalid" / f"{name}.png"
                invalid = read_image(path).any(-1)
                if invalid.shape != flow.shape[:2]:
                    raise ValueError(
                        f"{path} must have the size of the flow. "
                        f"Received: {invalid.shape}, flow.shape={flow.shape}"
                    )
                flow[invalid] = np.nan
            yield name, example(name, image, "target", flow)


def _sequences(training, render_pass):
    """{sequence: names of its frames but the last}; each of these must have a flow."""
    for folder in (training / render_pass, training / "flow"):
        if not folder.exists():
            raise FileNotFoundError(f"{folder} is missing: this is no complete MPI Sintel")
    sequences = {}
    for folder in sorted((training / render_pass).iterdir()):
        frames = [f"{folder.name}/{path.stem}" for path in sorted(folder.glob("frame_*.png"))]
        sequences[folder.name] = frames[:-1]
    with_frames = {name for frames in sequences.values() for name in frames}
    flows = (training / "flow").glob("*/frame_*.flo")
    with_flow = {f"{path.parent.name}/{path.stem}" for path in flows}
    if with_frames != with_flow:
        missing = [f"flow/{name}.flo" for name in sorted(with_frames - with_flow)]
        missing += [
            f"{render_pass}/{name}.png or the one after" for name in sorted(with_flow - with_frames)
        ]
        raise FileNotFoundError(f"{training} lacks {', '.join(missing)}")
    return sequences

"""Small files in the shape of the real data sets, drawn at random."""

import zipfile

import h5py
import numpy as np
import scipy.io
from PIL import Image

from examples import datasets
from examples.files import write_depth, write_flow, write_label
from examples.segmentation.palettes import voc_palette

SMALL_NYU = {"train": range(3), "test": range(3, 5)}
# Frames of each sequence. The last 25 pairs of bamboo_2 are for validation, all of ambush_6.
SMALL_SINTEL = {"alley_1": 4, "ambush_6": 3, "bamboo_2": 28}
SMALL_SINTEL_PAIRS = {"train": 3 + 2, "validation": 2 + 25}
# Of SBD, `a` is in VOC's train part and `c` in its val part.
SMALL_VOC = {"train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"]}
SMALL_SBD = {"train": ["c", "d"], "val": ["a", "e"]}
SMALL_VOC_COUNTS = {"train": 2, "val": 1, "trainval": 3, "train_aug": 4}


def load_by_name(folder, name, split, manual_dir=None, **config):
    """The examples that `datasets.load` returns, prepared in `folder`, in a dictionary by name."""
    examples = datasets.load(name, split, folder, manual_dir, **config)
    return {e["name"].decode(): e for e in examples.as_numpy_iterator()}


def draw_image(rng, size=(6, 8)):
    return rng.integers(0, 256, (*size, 3), "u1")


def save_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def make_nyu(path, images=5, depths=5):
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["images"] = rng.integers(0, 256, (images, 3, 8, 6), "u1")
        file["depths"] = rng.uniform(1, 9, (depths, 8, 6)).astype("f4")
        file["depths"][0, 1, 2] = 0
    return path


def make_sintel(folder, masks=True):
    rng = np.random.default_rng(0)
    for sequence, frames in SMALL_SINTEL.items():
        for number in range(1, frames + 1):
            name = f"{sequence}/frame_{number:04d}"
            for render_pass in ("clean", "final", "albedo"):
                save_image(folder / "training" / render_pass / f"{name}.png", draw_image(rng))
            if masks:
                mask = np.zeros((6, 8), "u1")
                mask[2, 3] = 255
                save_image(folder / "training" / "invalid" / f"{name}.png", mask)
            if number < frames:
                flow = folder / "training" / "flow" / f"{name}.flo"
                flow.parent.mkdir(parents=True, exist_ok=True)
                write_flow(flow, rng.normal(size=(6, 8, 2)))
    return folder


def zip_folder(folder, archive):
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.*"):
            file.write(path, path.relative_to(folder))


def make_pairs(folder, count=3, suffix=".png"):
    """Pairs of several sizes, in sub-folders `rgb` and `depth`."""
    rng = np.random.default_rng(len(folder.name))
    (folder / "depth").mkdir(parents=True)
    for i in range(count):
        size = (6 + i, 8)
        save_image(folder / "rgb" / f"{i}.png", draw_image(rng, size))
        if suffix == ".flo":
            write_flow(folder / "depth" / f"{i}.flo", rng.normal(size=(*size, 2)))
        else:
            depth = rng.uniform(1, 9, size)
            depth[1, 2] = np.nan
            write_depth(folder / "depth" / f"{i}{suffix}", depth)
    return folder


def draw_label(rng, size=(6, 8), classes=21):
    """Random labels, some of which are ignored."""
    label = rng.integers(0, classes, size).astype("u1")
    label[rng.random(size) < 0.1] = 255
    return label


def save_label(path, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_label(path, label, voc_palette())


def make_voc(folder):
    """VOCdevkit and benchmark_RELEASE; the labels of VOC are even, those of SBD odd."""
    rng = np.random.default_rng(0)
    voc, sbd = folder / "VOCdevkit" / "VOC2012", folder / "benchmark_RELEASE" / "dataset"
    lists = {voc / "ImageSets" / "Segmentation" / f"{s}.txt": n for s, n in SMALL_VOC.items()}
    lists |= {sbd / f"{split}.txt": names for split, names in SMALL_SBD.items()}
    for path, names in lists.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))
    for number, name in enumerate("abcde"):
        size = (6 + number, 8)
        label = 2 * rng.integers(0, 10, size).astype("u1")
        if name in SMALL_VOC["trainval"]:
            save_image(voc / "JPEGImages" / f"{name}.jpg", draw_image(rng, size))
            save_label(voc / "SegmentationClass" / f"{name}.png", label)
        if name != "b":
            save_image(sbd / "img" / f"{name}.jpg", draw_image(rng, size))
            (sbd / "cls").mkdir(exist_ok=True)
            content = {"GTcls": {"Segmentation": label + np.uint8(1)}}
            scipy.io.savemat(sbd / "cls" / f"{name}.mat", content)
    return folder


def make_labels(folder, count=3, classes=5):
    """Images and labels of several sizes; PNG or JPEG images, grey or palette labels."""
    rng = np.random.default_rng(len(folder.name))
    for i in range(count):
        size = (40 + i, 48)
        save_image(folder / "images" / f"{i}.{('png', 'jpg')[i % 2]}", draw_image(rng, size))
        save = (save_label, save_image)[i % 2]
        save(folder / "labels" / f"{i}.png", draw_label(rng, size, classes))
    return folder

"""Small files in the shape of the real data sets, drawn at random."""

import zipfile

import h5py
import numpy as np
from PIL import Image

from examples.files import write_depth, write_flow

SMALL_NYU = {"train": range(3), "test": range(3, 5)}
# Frames of each sequence. The last 25 pairs of bamboo_2 are for validation, all of ambush_6.
SMALL_SINTEL = {"alley_1": 4, "ambush_6": 3, "bamboo_2": 28}
SMALL_SINTEL_PAIRS = {"train": 3 + 2, "validation": 2 + 25}


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

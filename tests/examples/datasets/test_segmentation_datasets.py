"""What `examples.datasets.load` returns and refuses for segmentation, on small files."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from examples import files
from examples.datasets import voc2012_segmentation
from examples.datasets.voc2012_segmentation import Voc2012Segmentation
from tests.support.small_datasets import (
    SMALL_VOC_COUNTS,
    make_labels,
    make_voc,
    save_image,
    save_label,
)


@pytest.fixture
def small_voc(monkeypatch):
    monkeypatch.setattr(Voc2012Segmentation, "COUNTS", SMALL_VOC_COUNTS)


def make_archives(folder, files):
    folder.mkdir()
    for name, archive, mode in (
        ("VOCdevkit", voc2012_segmentation.VOC_ARCHIVE, "w"),
        ("benchmark_RELEASE", voc2012_segmentation.SBD_ARCHIVE, "w:gz"),
    ):
        with tarfile.open(folder / archive, mode) as tar:
            tar.add(files / name, name)
    return folder


def test_voc_has_the_known_numbers_of_images():
    counts = {"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10582}
    assert Voc2012Segmentation.COUNTS == counts
    info = Voc2012Segmentation.url_infos[voc2012_segmentation.VOC_URL]
    assert info.filename == voc2012_segmentation.VOC_ARCHIVE and info.size == 1_999_639_040


@pytest.mark.parametrize("archived", [False, True], ids=["folders", "archives"])
def test_voc(archived, load, tmp_path, small_voc):
    files = make_voc(tmp_path / "files")
    manual = make_archives(tmp_path / "manual", files) if archived else files
    splits = {s: load("voc2012_segmentation", s, manual) for s in SMALL_VOC_COUNTS}
    names = {split: "".join(sorted(examples)) for split, examples in splits.items()}
    # `a` has labels of both, which count once; `c` is in VOC's val part.
    assert names == {"train": "ab", "val": "c", "trainval": "abc", "train_aug": "abde"}
    augmented = splits["train_aug"]
    assert all((augmented[name]["label"] % 2 == 0).all() for name in "ab")  # VOC's labels
    assert all((augmented[name]["label"] % 2 == 1).all() for name in "de")  # SBD's
    a = augmented["a"]
    stored = Image.open(files / "VOCdevkit/VOC2012/SegmentationClass/a.png")
    np.testing.assert_array_equal(a["label"][..., 0], np.asarray(stored))
    assert a["image"].shape == (6, 8, 3) and augmented["e"]["image"].shape == (10, 8, 3)


@pytest.mark.parametrize(
    "lost", ["VOCdevkit/VOC2012/SegmentationClass/a.png", "benchmark_RELEASE/dataset/cls/e.mat"]
)
def test_voc_with_a_missing_file(lost, load, tmp_path, small_voc):
    folder = make_voc(tmp_path)
    (folder / lost).unlink()
    with pytest.raises(FileNotFoundError, match=lost.rsplit("/", 1)[1]):
        load("voc2012_segmentation", "train_aug", folder)


@pytest.mark.parametrize("content", [b"", b"no MATLAB file" * 20], ids=["empty", "other"])
def test_voc_with_a_damaged_label_of_sbd(content, load, tmp_path, small_voc):
    path = make_voc(tmp_path) / "benchmark_RELEASE/dataset/cls/d.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="d.mat is no label of SBD"):
        load("voc2012_segmentation", "train_aug", tmp_path)


def test_voc_that_is_not_complete(load, tmp_path, small_voc):
    path = make_voc(tmp_path) / "benchmark_RELEASE/dataset/train.txt"
    path.write_text("c\n")
    with pytest.raises(ValueError, match="'train_aug': 4} examples, it has .*'train_aug': 3}"):
        load("voc2012_segmentation", "train_aug", tmp_path)


def test_labels(load, tmp_path):
    folder = tmp_path / "mine"
    make_labels(folder / "train", 3), make_labels(folder / "val", 2)
    assert sorted(load("image_folder_labels", "val", folder)) == ["0", "1"]
    train = load("image_folder_labels", "train", folder)
    assert train["2"]["image"].shape == (42, 48, 3)
    for name in "012":
        stored = np.asarray(Image.open(folder / f"train/labels/{name}.png"))
        assert stored.max() == 255  # the image's index is read, not its colour
        np.testing.assert_array_equal(train[name]["label"][..., 0], stored)
    ignoring = load("image_folder_labels", "train", folder, ignore=3)
    label, before = ignoring["1"]["label"], train["1"]["label"]
    np.testing.assert_array_equal(label, np.where(before == 3, 255, before))


def test_labels_in_one_folder_are_one_split(load, tmp_path):
    make_labels(tmp_path / "mine")
    assert len(load("image_folder_labels", "train", tmp_path / "mine")) == 3


def test_labels_without_partners_are_all_named(load, tmp_path):
    folder = make_labels(tmp_path / "mine", 3)
    (folder / "labels" / "0.png").unlink()
    (folder / "images" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError) as raised:
        load("image_folder_labels", "train", folder)
    for name in ("images/0.png", "labels/1.png"):
        assert f"{name} has no partner" in str(raised.value)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "labels/1.png"),
        (lambda path: save_image(path, np.zeros((41, 48, 3), "u1")), "labels/1.png.*mode RGB"),
        (lambda path: save_label(path, np.zeros((41, 47))), "labels/1.png.*same size.*41, 47"),
    ],
    ids=["truncated", "color", "size"],
)
def test_a_damaged_label_is_named(damage, message, load, tmp_path):
    folder = make_labels(tmp_path / "mine")
    damage(folder / "labels" / "1.png")
    with pytest.raises(ValueError, match=message):
        load("image_folder_labels", "train", folder)


def test_a_palette_png_keeps_its_labels(tmp_path, rng):
    label = rng.integers(0, 256, (7, 9), "u1")
    palette = rng.integers(0, 256, (256, 3), "u1")
    files.write_label(tmp_path / "a.png", label, palette)
    np.testing.assert_array_equal(files.read_label(tmp_path / "a.png")[..., 0], label)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[label])
    assert (tmp_path / "a.png").read_bytes()[24] == 8  # the bit depth in the PNG's header

"""What `examples.datasets.load` returns and refuses, on small files like the real ones."""

import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from examples import datasets
from examples.datasets import mpi_sintel, nyu_depth_v2_labeled, pac_scenes
from examples.datasets.mpi_sintel import MpiSintel
from examples.datasets.nyu_depth_v2_labeled import NyuDepthV2Labeled
from examples.files import write_depth, write_flow
from tests.support.small_datasets import (
    SMALL_NYU,
    SMALL_SINTEL_PAIRS,
    make_nyu,
    make_pairs,
    make_sintel,
    zip_folder,
)


@pytest.fixture
def small_nyu(monkeypatch):
    monkeypatch.setattr(NyuDepthV2Labeled, "SPLITS", SMALL_NYU)


@pytest.fixture
def small_sintel(monkeypatch):
    monkeypatch.setattr(MpiSintel, "PAIRS", SMALL_SINTEL_PAIRS)


def assert_nothing_prepared(tmp_path):
    """No data set that is half prepared stands where the next run would load it."""
    assert not list((tmp_path / "prepared").rglob("1.0.0"))


@pytest.mark.parametrize(
    "builder_class, channels",
    [(NyuDepthV2Labeled, 1), (MpiSintel, 2), (pac_scenes.PacScenes, 1)],
)
def test_features(builder_class, channels, tmp_path):
    features = builder_class(data_dir=tmp_path).info.features
    assert sorted(features) == ["image", "name", "target"]
    assert features["image"].dtype == np.uint8 and features["image"].shape[2] == 3
    assert features["target"].dtype == np.float32 and features["target"].shape[2] == channels


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a web server on this machine, which offers the folder `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_nyu_is_downloaded(server, load, tmp_path, small_nyu, monkeypatch):
    path = make_nyu(tmp_path / "served" / "nyu_depth_v2_labeled.mat")
    url = f"{server}/{path.name}"
    monkeypatch.setattr(nyu_depth_v2_labeled, "URL", url)
    other_file = UrlInfo(path.stat().st_size, "0" * 64, path.name)
    monkeypatch.setattr(NyuDepthV2Labeled, "url_infos", {url: other_file})
    with pytest.raises(NonMatchingChecksumError, match=path.name):
        load("nyu_depth_v2_labeled", "train")
    assert_nothing_prepared(tmp_path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    this_file = UrlInfo(path.stat().st_size, checksum, path.name)
    monkeypatch.setattr(NyuDepthV2Labeled, "url_infos", {url: this_file})
    assert len(load("nyu_depth_v2_labeled", "train")) == 3


def test_the_checksum_of_nyu_is_registered():
    info = NyuDepthV2Labeled.url_infos[nyu_depth_v2_labeled.URL]
    assert info.filename == "nyu_depth_v2_labeled.mat" and info.size == 2_972_037_809


def test_sintel_is_downloaded(server, load, tmp_path, small_sintel, monkeypatch):
    zip_folder(make_sintel(tmp_path / "sintel"), tmp_path / "served" / mpi_sintel.ARCHIVE)
    monkeypatch.setattr(mpi_sintel, "URL", f"{server}/{mpi_sintel.ARCHIVE}")
    assert len(load("mpi_sintel", "train")) == 5
    # Another pass comes from the same download.
    (tmp_path / "served" / mpi_sintel.ARCHIVE).unlink()
    assert len(load("mpi_sintel", "train", render_pass="albedo")) == 5


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_sintel_with_a_truncated_archive(share, load, tmp_path, small_sintel):
    archive = tmp_path / "manual" / mpi_sintel.ARCHIVE
    archive.parent.mkdir()
    zip_folder(make_sintel(tmp_path / "sintel"), archive)
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    for _ in range(2):  # what was extracted of it is not taken for the whole
        with pytest.raises(Exception, match=mpi_sintel.ARCHIVE):
            load("mpi_sintel", "train", archive.parent)
    assert_nothing_prepared(tmp_path)


def test_nyu(load, tmp_path, small_nyu):
    path = make_nyu(tmp_path / "manual" / "nyu_depth_v2_labeled.mat")
    test = load("nyu_depth_v2_labeled", "test", path.parent)
    assert sorted(test) == ["0003", "0004"]
    train = load("nyu_depth_v2_labeled", "train", path.parent)
    assert sorted(train) == ["0000", "0001", "0002"]
    with h5py.File(path) as file:
        image, target = train["0001"]["image"], train["0001"]["target"]
        assert image.dtype == np.uint8 and target.dtype == np.float32
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], file["images"][1, channel].T)
        np.testing.assert_array_equal(target, file["depths"][1].T[..., None])
    assert np.argwhere(np.isnan(train["0000"]["target"])).tolist() == [[2, 1, 0]]


def test_nyu_is_split_as_in_the_paper():
    assert NyuDepthV2Labeled.SPLITS == {"train": range(1000), "test": range(1000, 1449)}


@pytest.mark.parametrize("images, depths", [(4, 4), (5, 4), (6, 6)])
def test_nyu_with_another_number_of_images(images, depths, load, tmp_path, small_nyu):
    path = make_nyu(tmp_path / "manual" / "nyu_depth_v2_labeled.mat", images, depths)
    message = (
        rf"nyu_depth_v2_labeled.mat must have .* it has {{'images': {images}, 'depths': {depths}}}"
    )
    with pytest.raises(ValueError, match=message):
        load("nyu_depth_v2_labeled", "train", path.parent)
    assert_nothing_prepared(tmp_path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_nyu_truncated(share, load, tmp_path, small_nyu):
    path = make_nyu(tmp_path / "manual" / "nyu_depth_v2_labeled.mat")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="nyu_depth_v2_labeled.mat"):
        load("nyu_depth_v2_labeled", "train", path.parent)
    assert_nothing_prepared(tmp_path)


def test_nyu_without_depth(load, tmp_path, small_nyu):
    path = make_nyu(tmp_path / "manual" / "nyu_depth_v2_labeled.mat")
    with h5py.File(path, "a") as file:
        del file["depths"]
    with pytest.raises(ValueError, match=r"labeled.mat has no \['depths'\], it has \['images'\]"):
        load("nyu_depth_v2_labeled", "train", path.parent)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "archive"])
def test_sintel(zipped, load, tmp_path, small_sintel):
    folder = make_sintel(tmp_path / "sintel")
    manual = folder
    if zipped:
        manual = tmp_path / "manual"
        manual.mkdir()
        zip_folder(folder, manual / mpi_sintel.ARCHIVE)
    train = load("mpi_sintel", "train", manual, render_pass="final")
    validation = load("mpi_sintel", "validation", manual, render_pass="final")
    assert sorted(train) == [
        *(f"alley_1/frame_000{i}" for i in (1, 2, 3)),
        *(f"bamboo_2/frame_000{i}" for i in (1, 2)),
    ]
    assert sorted(validation) == [
        *(f"ambush_6/frame_000{i}" for i in (1, 2)),
        *(f"bamboo_2/frame_{i:04d}" for i in range(3, 28)),
    ]
    one = train["alley_1/frame_0002"]
    stored = np.asarray(Image.open(folder / "training/final/alley_1/frame_0002.png"))
    np.testing.assert_array_equal(one["image"], stored)
    assert np.argwhere(np.isnan(one["target"])).tolist() == [[2, 3, 0], [2, 3, 1]]


def test_sintel_has_the_split_of_the_paper():
    assert MpiSintel.PAIRS == {"train": 908, "validation": 133}
    assert sorted(MpiSintel.builder_configs) == ["albedo", "clean", "final"]


def test_sintel_without_masks(load, tmp_path, small_sintel):
    train = load("mpi_sintel", "train", make_sintel(tmp_path / "sintel", masks=False))
    assert np.isfinite(train["alley_1/frame_0002"]["target"]).all()


@pytest.mark.parametrize(
    "lost",
    [
        "flow/alley_1/frame_0002.flo",
        "clean/alley_1/frame_0002.png",
        "invalid/alley_1/frame_0002.png",
    ],
)
def test_sintel_with_a_missing_file(lost, load, tmp_path, small_sintel):
    folder = make_sintel(tmp_path / "sintel")
    (folder / "training" / lost).unlink()
    with pytest.raises(FileNotFoundError, match=lost):
        load("mpi_sintel", "train", folder)
    assert_nothing_prepared(tmp_path)


@pytest.mark.parametrize("lost", ["flow", "clean"])
def test_sintel_without_a_folder(lost, load, tmp_path, small_sintel):
    folder = make_sintel(tmp_path / "sintel")
    shutil.rmtree(folder / "training" / lost)
    with pytest.raises(FileNotFoundError, match=f"training/{lost} is missing"):
        load("mpi_sintel", "train", folder)


def test_sintel_with_another_number_of_pairs(load, tmp_path, small_sintel):
    folder = make_sintel(tmp_path / "sintel")
    shutil.rmtree(folder / "training" / "flow" / "ambush_6")
    shutil.rmtree(folder / "training" / "clean" / "ambush_6")
    with pytest.raises(ValueError, match="training must have .* it has .*'validation': 25"):
        load("mpi_sintel", "train", folder)


@pytest.mark.parametrize(
    "name", ["flow/alley_1/frame_0002.flo", "clean/bamboo_2/frame_0020.png"], ids=Path
)
def test_sintel_with_a_damaged_file(name, load, tmp_path, small_sintel):
    folder = make_sintel(tmp_path / "sintel")
    path = folder / "training" / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=name):
        load("mpi_sintel", "train", folder)
    assert_nothing_prepared(tmp_path)


def test_pairs_in_splits(load, tmp_path):
    make_pairs(tmp_path / "mine" / "train", 3), make_pairs(tmp_path / "mine" / "test", 2)
    config = {"images": "rgb", "targets": "depth", "unknown": 0, "scale": 0.001}
    test = load("image_folder_pairs", "test", tmp_path / "mine", **config)
    assert sorted(test) == ["0", "1"]
    train = load("image_folder_pairs", "train", tmp_path / "mine", **config)
    assert {name: e["target"].shape for name, e in train.items()} == {
        "0": (6, 8, 1),
        "1": (7, 8, 1),
        "2": (8, 8, 1),
    }
    target = train["0"]["target"]
    assert np.argwhere(np.isnan(target)).tolist() == [[1, 2, 0]]
    assert 1 <= np.nanmin(target) and np.nanmax(target) <= 9


def test_pairs_in_one_folder(load, tmp_path):
    make_pairs(tmp_path / "mine", suffix=".flo")
    for path in (tmp_path / "mine").glob("*/*"):
        path.rename(tmp_path / "mine" / path.name)
    pairs = load("image_folder_pairs", "train", tmp_path / "mine", images=".", targets=".")
    assert len(pairs) == 3 and pairs["2"]["target"].shape == (8, 8, 2)


def test_a_folder_that_changed_is_prepared_again(load, tmp_path):
    folder = make_pairs(tmp_path / "mine", suffix=".npy")
    config = {"images": "rgb", "targets": "depth"}
    before = load("image_folder_pairs", "train", folder, **config)
    write_depth(folder / "depth" / "0.npy", np.ones((6, 8)))
    after = load("image_folder_pairs", "train", folder, **config)
    assert np.nanmax(before["0"]["target"]) > 1 and np.nanmax(after["0"]["target"]) == 1
    half = load("image_folder_pairs", "train", folder, scale=0.5, **config)
    assert np.nanmax(half["0"]["target"]) == 0.5
    other = make_pairs(tmp_path / "elsewhere" / "mine", count=1, suffix=".npy")
    assert len(load("image_folder_pairs", "train", other, **config)) == 1


def test_another_process_prepares_the_same(load, tmp_path, monkeypatch):
    folder = make_pairs(tmp_path / "mine")
    config = {"images": "rgb", "targets": "depth"}
    generate = datasets.ImageFolderPairs._generate_examples
    started = []

    def meanwhile_there(self, *args):
        if not started:
            started.append(self)
            load("image_folder_pairs", "train", folder, **config)
        yield from generate(self, *args)

    monkeypatch.setattr(datasets.ImageFolderPairs, "_generate_examples", meanwhile_there)
    assert len(load("image_folder_pairs", "train", folder, **config)) == 3
    assert not list((tmp_path / "prepared").rglob("incomplete*"))


def test_pairs_without_partners_are_all_named(load, tmp_path):
    folder = make_pairs(tmp_path / "mine", 4)
    (folder / "rgb" / "0.png").unlink()
    (folder / "depth" / "2.png").unlink()
    shutil.copy(folder / "rgb" / "1.png", folder / "rgb" / "1.jpg")
    with pytest.raises(FileNotFoundError) as raised:
        load("image_folder_pairs", "train", folder, images="rgb", targets="depth")
    for message in (
        "rgb/2.png has no partner",
        "depth/0.png has no partner",
        "rgb has 2 files named 1",
    ):
        assert message in str(raised.value)
    assert_nothing_prepared(tmp_path)


def test_pairs_of_different_sizes(load, tmp_path):
    folder = make_pairs(tmp_path / "mine")
    shutil.copy(folder / "depth" / "1.png", folder / "depth" / "2.png")
    with pytest.raises(ValueError, match=r"rgb/2.png and .*depth/2.png: .*same size.*\(8, 8, 3\)"):
        load("image_folder_pairs", "train", folder, images="rgb", targets="depth")
    assert_nothing_prepared(tmp_path)


@pytest.mark.parametrize("name", ["rgb/1.png", "depth/1.png", "depth/0.png"])
def test_pairs_with_a_damaged_file(name, load, tmp_path):
    folder = make_pairs(tmp_path / "mine")
    path = folder / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=name):
        load("image_folder_pairs", "train", folder, images="rgb", targets="depth")
    assert_nothing_prepared(tmp_path)


def test_pairs_of_depth_and_flow(load, tmp_path):
    folder = make_pairs(tmp_path / "mine")
    (folder / "depth" / "1.png").unlink()
    write_flow(folder / "depth" / "1.flo", np.zeros((7, 8, 2)))
    with pytest.raises(ValueError, match="depth/1.flo must have 1 channels"):
        load("image_folder_pairs", "train", folder, images="rgb", targets="depth")


def test_a_target_without_a_known_pixel(load, tmp_path):
    folder = make_pairs(tmp_path / "mine", suffix=".npy")
    write_depth(folder / "depth" / "1.npy", np.full((7, 8), np.nan))
    with pytest.raises(ValueError, match="depth/1.npy has no pixel whose value is known"):
        load("image_folder_pairs", "train", folder, images="rgb", targets="depth")


def test_no_pairs(load, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is no folder"):
        load("image_folder_pairs", "train", tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="has no images in images"):
        load("image_folder_pairs", "train", tmp_path)


def test_scenes(load, monkeypatch):
    monkeypatch.setattr(pac_scenes.PacScenes, "SCENES", {"train": 2, "validation": 1})
    scenes = load("scenes", "train")
    assert sorted(scenes) == ["train_000", "train_001"]
    assert scenes["train_000"]["target"].shape == (192, 192, 1)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("nyu", {}, "`name` must be one of .*nyu_depth_v2_labeled"),
        ("scenes", {"factor": 4}, "scenes takes no options of its files: .*Received: factor"),
        ("mpi_sintel", {"render_pass": "clear"}, "`render_pass` must be one of .*clean"),
        ("image_folder_pairs", {}, "image_folder_pairs needs `manual_dir`"),
    ],
)
def test_bad_arguments(name, arguments, message, load):
    with pytest.raises(ValueError, match=message):
        load(name, "train", **arguments)


@pytest.mark.parametrize("name", ["nyu_depth_v2_labeled", "mpi_sintel"])
def test_a_manual_directory_that_lacks_the_files(name, load, tmp_path):
    with pytest.raises(FileNotFoundError, match="has none of .* It is downloaded"):
        load(name, "train", tmp_path)


def test_a_split_that_is_not_there(load, monkeypatch):
    monkeypatch.setattr(pac_scenes.PacScenes, "SCENES", {"train": 1, "validation": 1})
    with pytest.raises(ValueError, match="(?s)test.*validation"):
        load("scenes", "test")

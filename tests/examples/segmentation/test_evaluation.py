"""Evaluation and prediction."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from examples import files
from examples.segmentation import data, palettes
from examples.training.errors import UserError
from tests.support.segmentation_child import CLASSES, drawn_examples, open_drawn
from tests.support.segmentation_program import load, run_program
from tests.support.small_datasets import save_image


def test_evaluation(base, tiny, drawn, tmp_path, capsys):
    paths = [base / "network.keras", tiny]
    run_program(
        *("evaluate", "--data", "drawn", "--weights", *paths, "--json", tmp_path / "a" / "r.json"),
        *("--pictures", tmp_path / "pictures", "--picture-count", 2),
    )
    report = json.loads((tmp_path / "a" / "r.json").read_text())
    assert list(report["networks"]) == list(map(str, paths))
    examples = list(data.arrays(open_drawn(None, "val"), CLASSES))
    for path in paths:
        network = keras.models.load_model(path)
        right = total = 0
        for example in examples:
            logits = network(example["image"][None].astype(np.float32)).numpy()[0]
            counted = example["label"] != 255
            right += (logits.argmax(-1) == example["label"])[counted].sum()
            total += counted.sum()
        assert report["networks"][str(path)]["pixel_accuracy"] == pytest.approx(right / total)
    assert report["pixels"] == total and report["images"] == 5
    output = capsys.readouterr().out
    assert f"{report['networks'][str(tiny)]['mean_iou']:.2%}" in output
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["image 100.png", "image 101.png"]
    truth = palettes.voc_palette()[examples[0]["label"]]
    picture = files.read_image(pictures[0])
    assert picture.shape == (34, 4 * 40 + 3 * 4, 3)
    np.testing.assert_array_equal(picture[:, :40], examples[0]["image"])
    np.testing.assert_array_equal(picture[:, -40:], truth)


def test_networks_of_different_classes_are_not_compared(tiny, drawn, tmp_path):
    three = tmp_path / "three.keras"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(three)
    with pytest.raises(UserError, match="same number of classes.*three.keras': 3"):
        run_program("evaluate", "--data", "drawn", "--weights", tiny, three)


def test_prediction(base, tmp_path):
    images = {example["name"].decode(): example["image"] for example in drawn_examples(3)}
    for name, image in images.items():
        save_image(tmp_path / "in" / f"{name}.png", image)
    save_image(tmp_path / "2008_000006.jpg", np.zeros((13, 71, 3), np.uint8))
    output = tmp_path / "results" / "comp6_test_cls"
    weights = ["--weights", base / "network.keras"]
    inputs = ["--images", tmp_path / "in", tmp_path / "2008_000006.jpg"]
    run_program("predict", *weights, *inputs, "--output", output)
    written = sorted(path.name for path in output.iterdir())
    assert written == ["2008_000006.png", "image 0.png", "image 1.png", "image 2.png"]
    network = load(base)
    for name, image in images.items():
        expected = network(image[None].astype(np.float32)).numpy()[0].argmax(-1)
        with Image.open(output / f"{name}.png") as stored:
            assert stored.mode == "P"
            np.testing.assert_array_equal(np.asarray(stored), expected)
            np.testing.assert_array_equal(
                np.asarray(stored.convert("RGB")), palettes.voc_palette()[expected]
            )
    assert files.read_label(output / "2008_000006.png").shape == (13, 71, 1)
    run_program("predict", *weights, *inputs, "--output", tmp_path / "b", "--palette", "camvid")
    with Image.open(tmp_path / "b" / "image 0.png") as stored:
        colors = palettes.camvid_palette()[np.asarray(stored)]
        np.testing.assert_array_equal(np.asarray(stored.convert("RGB")), colors)


def test_prediction_does_not_overwrite_its_images(tiny, tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    command = ["predict", "--weights", tiny, "--images", tmp_path, "--output", tmp_path]
    with pytest.raises(UserError, match="would overwrite the image photo.png"):
        run_program(*command)
    assert (tmp_path / "photo.png").read_bytes() == before


def test_prediction_names_what_it_cannot_read(tiny, tmp_path):
    command = ["predict", "--weights", tiny, "--output", tmp_path / "out"]
    (tmp_path / "bad.png").write_bytes(b"no PNG")
    with pytest.raises(UserError, match="bad.png"):
        run_program(*command, "--images", tmp_path / "bad.png")
    with pytest.raises(UserError, match="nowhere.png: there is no such file"):
        run_program(*command, "--images", tmp_path / "nowhere.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no images"):
        run_program(*command, "--images", tmp_path / "empty")
    with pytest.raises(UserError, match="a.png and .*a.jpg would get the same"):
        run_program(*command, "--images", tmp_path / "a.png", tmp_path / "a.jpg")

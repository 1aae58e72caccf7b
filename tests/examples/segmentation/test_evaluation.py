"""Evaluation and prediction."""

import json
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from examples import files
from examples.segmentation import data, palettes
from examples.segmentation.refinement import full_crf
from examples.training.errors import UserError
from keras_pac.models import refine
from tests.support.segmentation_child import CLASSES, drawn_examples, examples_of, open_drawn
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
    image = examples[0]["image"][None].astype(np.float32)
    labels = [keras.models.load_model(path)(image).numpy()[0].argmax(-1) for path in paths]
    colors = [palettes.voc_palette()[label] for label in labels]
    truth = palettes.voc_palette()[examples[0]["label"]]
    picture = files.read_image(pictures[0])
    assert picture.shape == (34, 4 * 40 + 3 * 4, 3)
    np.testing.assert_array_equal(picture[:, :40], examples[0]["image"])
    for number, color in enumerate(colors, start=1):
        np.testing.assert_array_equal(picture[:, 44 * number :][:, :40], color)
    np.testing.assert_array_equal(picture[:, -40:], truth)


def test_classes_have_the_names_and_colors_of_the_palette(monkeypatch, tmp_path, capsys):
    """A network that says sky (0) everywhere; there are only sky and road (3), and no car (8)."""
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(11, 1, kernel_initializer="zeros")(image))
    network.layers[1].bias.assign(np.eye(11)[0])
    network.save(tmp_path / "sky.keras")
    label = np.full((4, 6, 1), 3, np.uint8)
    label[:, :2] = 0
    example = {"image": np.zeros((4, 6, 3), np.uint8), "label": label, "name": b"street"}
    monkeypatch.setattr(data, "open_dataset", lambda args, split: examples_of([example]))
    camvid = ["--weights", tmp_path / "sky.keras", "--palette", "camvid"]
    report = ["--json", tmp_path / "report.json", "--pictures", tmp_path]
    run_program("evaluate", "--data", "street", *camvid, *report, "--near-borders", 1, 2)
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    iou = dict(zip(report["classes"], report["networks"][str(tmp_path / "sky.keras")]["iou"]))
    assert (iou["sky"], iou["road"], iou["car"]) == (pytest.approx(8 / 24), 0, None)
    near = report["networks"][str(tmp_path / "sky.keras")]["near_borders"]
    # Two columns of sky; one and two of road are near enough.
    assert near == {"1": pytest.approx(4 / 8 / 2), "2": pytest.approx(8 / 16 / 2)}
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sky", "33.33%"] in table and ["car", "absent"] in table
    picture = files.read_image(tmp_path / "street.png")
    sky, road = (128, 128, 128), (128, 64, 128)
    assert tuple(picture[0, 6 + 4]) == tuple(picture[0, 6 + 4 + 5]) == sky  # the prediction
    assert (tuple(picture[0, -6]), tuple(picture[0, -1])) == (sky, road)
    save_image(tmp_path / "photo.jpg", example["image"])
    images = ["--images", tmp_path / "photo.jpg", "--output", tmp_path / "labels"]
    run_program("predict", *camvid, *images)
    assert tuple(files.read_image(tmp_path / "labels" / "photo.png")[0, 0]) == sky


def test_evaluation_refined_with_options(tiny, drawn, tmp_path):
    options = {"method": "crf", "color_scale": 0.5, "steps": 2}
    command = ["evaluate", "--data", "drawn", "--weights", tiny, "--json", tmp_path / "r.json"]
    given = '{"color_scale": 0.5, "steps": 2}'
    run_program(*command, "--refine", "crf", "--refine-options", given)
    network, right, total = keras.models.load_model(tiny), 0, 0
    for example in data.arrays(open_drawn(None, "val"), CLASSES):
        image, label = example["image"], example["label"]
        probabilities = keras.ops.softmax(network(image[None].astype(np.float32))).numpy()[0]
        labels = refine(probabilities, image, **options).argmax(-1)
        right += (labels == label)[label != 255].sum()
        total += (label != 255).sum()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["refine_options"] == given
    (measured,) = report["networks"].values()
    assert measured["pixel_accuracy"] == pytest.approx(right / total)
    assert measured["milliseconds"] > 0


@pytest.mark.parametrize(
    "options, message",
    [
        (["--refine-options", "{}"], "--refine-options needs --refine"),
        (
            ["--refine", "crf", "--refine-options", "[5]"],
            r"must be a JSON object.* Received: \[5\]",
        ),
        (["--refine", "crf", "--refine-options", "{"], "must be a JSON object.* Received: {"),
        (["--refine", "pamr", "--refine-options", '{"step": 5}'], "--refine: .*'step'"),
        (["--refine", "crf", "--refine-options", '{"method": "pamr"}'], "--refine is the method"),
        (["--refine", "full-crf"], "--refine full-crf needs the package pydensecrf"),
        (
            ["--refine", "full-crf", "--refine-options", '{"color_scale": 0}'],
            "`color_scale` must be at least 1. Received: color_scale=0",
        ),
        (["--refine", "full-crf", "--refine-options", '{"position_scale": [9]}'], "finite number"),
        (["--refine", "full-crf", "--refine-options", '{"weight": NaN}'], "`weight` must be"),
        (["--refine", "full-crf", "--refine-options", '{"steps": 0}'], "`steps` must be"),
    ],
)
def test_refinements_that_are_refused(tiny, drawn, monkeypatch, options, message):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)  # as where it is not installed
    with pytest.raises(UserError, match=message):
        run_program("evaluate", "--data", "drawn", "--weights", tiny, *options)


def test_full_crf_moves_a_border_to_the_colors():
    reason = "pydensecrf is not installed (CONTRIBUTING.md says how)"
    pytest.importorskip("pydensecrf.densecrf", reason=reason)
    probabilities, image = np.full((40, 50, 2), 0.5, "f4"), np.zeros((40, 50, 3), np.uint8)
    probabilities[:, :20], probabilities[:, 30:] = [0.9, 0.1], [0.1, 0.9]
    image[:, 25:] = 255
    image.flags.writeable = False  # as those of a data set
    refined = full_crf(probabilities, image)
    np.testing.assert_allclose(refined.sum(-1), 1, rtol=1e-5)
    assert (refined.argmax(-1) == (np.arange(50) >= 25)).all()


def test_there_is_no_mean_iou_near_borders_where_there_are_none(tiny, monkeypatch, capsys):
    image = np.zeros((4, 6, 3), np.uint8)
    plain = {"image": image, "label": np.zeros((4, 6, 1), np.uint8), "name": b"a"}
    monkeypatch.setattr(data, "open_dataset", lambda args, split: examples_of([plain]))
    run_program("evaluate", "--data", "plain", "--weights", tiny, "--near-borders", 1000)
    lines = capsys.readouterr().out.splitlines()
    (heading,) = (number for number, line in enumerate(lines) if line.endswith("within 1000"))
    assert lines[heading + 1].split()[-1] == "none"


def test_a_split_without_a_pixel_that_counts_is_not_measured(tiny, monkeypatch):
    image = np.zeros((4, 6, 3), np.uint8)
    ignored = {"image": image, "label": np.full((4, 6, 1), 255, np.uint8), "name": b"a"}
    monkeypatch.setattr(data, "open_dataset", lambda args, split: examples_of([ignored]))
    with pytest.raises(UserError, match="The split val has no pixel that counts"):
        run_program("evaluate", "--data", "ignored", "--weights", tiny)


def test_networks_of_different_classes_are_not_compared(tiny, drawn, tmp_path):
    three = tmp_path / "three.keras"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(three)
    with pytest.raises(UserError, match="same number of classes.*three.keras': 3"):
        run_program("evaluate", "--data", "drawn", "--weights", tiny, three)


def test_prediction(base, tmp_path):
    images = {example["name"].decode(): example["image"] for example in drawn_examples(3)}
    for name, image in images.items():
        save_image(tmp_path / "in" / f"{name}.png", image)
    (tmp_path / "in" / "image 2.png").rename(tmp_path / "in" / "image 2.PNG")
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


@pytest.mark.parametrize("method", ["crf", "pamr"])
def test_prediction_refined_with_overlays_and_areas(base, tmp_path, method):
    (example,) = drawn_examples(1)
    image = example["image"]
    save_image(tmp_path / "in" / "a.png", image)
    output = ["--output", tmp_path / "out", "--overlays", tmp_path / "over"]
    command = ["predict", "--weights", base / "network.keras", "--images", tmp_path / "in"]
    run_program(*command, *output, "--areas", tmp_path / "new" / "areas.csv", "--refine", method)
    logits = load(base)(image[None].astype(np.float32))
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits)[0])
    labels = refine(probabilities, image, method=method).argmax(-1)
    np.testing.assert_array_equal(files.read_label(tmp_path / "out" / "a.png")[..., 0], labels)
    overlay = files.read_image(tmp_path / "over" / "a.png").astype(int)
    colors = palettes.voc_palette()[labels]
    assert np.abs(2 * overlay - image - colors).max() <= 1
    header, row = (tmp_path / "new" / "areas.csv").read_text().splitlines()
    name, *shares = row.split(",")
    assert name == "a" and header.split(",")[0] == "image"
    np.testing.assert_allclose(
        [float(share) for share in shares],
        [(labels == number).mean() for number in range(logits.shape[-1])],
        atol=1e-6,
    )


def test_prediction_does_not_overwrite_its_images(tiny, tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    command = ["predict", "--weights", tiny, "--images", tmp_path, "--output", tmp_path]
    with pytest.raises(UserError, match="--output .* would overwrite the image photo.png"):
        run_program(*command)
    command[-1] = tmp_path / "out"
    with pytest.raises(UserError, match="--overlays .* would overwrite the image photo.png"):
        run_program(*command, "--overlays", tmp_path)
    with pytest.raises(
        UserError, match="--areas must be a file of its own, .*Received: .*photo.png"
    ):
        run_program(*command, "--areas", tmp_path / "photo.png")
    with pytest.raises(UserError, match="--areas must be a file of its own, .*out/photo.png"):
        run_program(*command, "--areas", tmp_path / "out" / "photo.png")
    for option, path in (("--overlays", "photo.png"), ("--areas", "photo.png/areas.csv")):
        with pytest.raises(UserError, match=f"{option} needs a folder. Received: .*photo.png"):
            run_program(*command, option, tmp_path / path)
    with pytest.raises(UserError, match="must be different folders"):
        run_program(*command, "--overlays", tmp_path / "out")
    assert (tmp_path / "photo.png").read_bytes() == before


def test_a_network_of_one_size_names_it(tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "photo.png")
    image = keras.Input((16, 24, 3))
    keras.Model(image, keras.layers.Conv2D(2, 1)(image)).save(tmp_path / "fixed.keras")
    command = ["predict", "--weights", tmp_path / "fixed.keras", "--images", tmp_path]
    with pytest.raises(UserError, match="images of 16x24 pixels only. Received: one of 8x9"):
        run_program(*command, "--output", tmp_path / "out")


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
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(257, 1)]).save(
        tmp_path / "many.keras"
    )
    Image.new("RGB", (9, 8)).save(tmp_path / "good.png")
    many = ["--weights", tmp_path / "many.keras", "--images", tmp_path / "good.png"]
    with pytest.raises(UserError, match="many.keras has 257 classes, a PNG at most 256"):
        run_program(*command, *many)
    with pytest.raises(UserError, match="a.png and .*a.jpg would get the same"):
        run_program(*command, "--images", tmp_path / "a.png", tmp_path / "a.jpg")

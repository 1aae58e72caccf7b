"""Help pages, and input that the segmentation program refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples import files
from examples.segmentation import __main__, data
from examples.training import command_line
from examples.training.data import Examples
from examples.training.errors import UserError
from tests.support.segmentation_child import CLASSES, examples_of, open_drawn
from tests.support.segmentation_program import NEW, OPTIONS, run_program
from tests.support.small_datasets import make_labels, save_image


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"]])
def test_every_command_has_a_help_page(command, capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main([*command, "--help"])
    assert end.value.code == 0
    assert "python -m examples.segmentation" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        (["--classes", 7], "has 4 classes, not --classes 7"),
        (["--swap", "conv2_2"], "--swap LAYER … and --guide LAYER go together"),
        (["--swap", "conv9", "--guide", "conv1_1"], "--swap: .*'conv9' is no layer of the model"),
        (["--weights", "imagenet"], "--weights is for --network FCN8s"),
        (["--crf-alone"], "--crf-alone needs --crf"),
        (["--loose"], "--loose needs --crf"),
        (["--position-scale", 9], "--position-scale needs --crf"),
        (["--crf", ""], "one of potts.* Received: "),
        (["--crf", '{"blur": 0}'], "--crf: .*blur"),
        (["--validate-every", 100], "--validate-every needs --validation"),
        (
            ["--validation", "val", "--validate-every", 150],
            "--validate-every 150 must be a multiple of --save-every 100",
        ),
    ],
)
def test_what_does_not_fit_the_trained_network(base, drawn, tmp_path, change, message):
    start = [*OPTIONS, "--start", base / "network.keras", "--steps", 1, "--out", tmp_path]
    with pytest.raises(UserError, match=message):
        run_program(*start, *change)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.unlink(), "1.jpg has no partner"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "labels/1.png"),
        (
            lambda path: save_image(path, np.full((41, 48), 9, "u1")),
            "1: its label has the values 9, but there are 5 classes, 0 to 4",
        ),
    ],
    ids=["missing", "truncated", "value"],
)
def test_bad_files_stop_the_program_before_training(tmp_path, damage, message):
    folder = make_labels(tmp_path / "mine", classes=5)
    damage(folder / "labels" / "1.png")
    options = ["--data", "image_folder_labels", "--manual-dir", folder, "--network", "small"]
    options += ["--classes", 5, "--steps", 1, "--data-dir", tmp_path / "prepared"]
    with pytest.raises(UserError, match=message):
        run_program("train", *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 9], "2: its label has the values 9"),
        ([255, 255, 255], "The split val has no pixel that counts"),
    ],
)
def test_a_validation_split_is_read_before_training(drawn, monkeypatch, tmp_path, labels, message):
    def open_split(args, split):
        if split != "val":
            return open_drawn(args, split)
        image = np.zeros((8, 9, 3), np.uint8)
        return examples_of(
            [
                {"image": image, "label": np.full((8, 9, 1), label, np.uint8), "name": b"%d" % i}
                for i, label in enumerate(labels)
            ]
        )

    monkeypatch.setattr(data, "open_dataset", open_split)
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS, *NEW, "--steps", 1, "--validation", "val", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_new_network_needs_the_number_of_classes(drawn, tmp_path):
    with pytest.raises(UserError, match="--network needs --classes"):
        run_program(*OPTIONS, "--network", "small", "--steps", 1, "--out", tmp_path / "a")


def test_a_new_network_has_no_statistics_to_keep(drawn, tmp_path):
    options = [*OPTIONS, *NEW, "--keep-statistics", "--steps", 1]
    with pytest.raises(UserError, match="--keep-statistics is for --start"):
        run_program(*options, "--out", tmp_path / "a")


def test_the_options_of_a_folder_of_labels_are_passed_on(tmp_path):
    folder = make_labels(tmp_path / "mine", classes=5)
    (folder / "images").rename(folder / "photos")
    (folder / "labels").rename(folder / "truth")
    options = ["--manual-dir", folder, "--data-dir", tmp_path / "prepared", "--ignore", 4]
    options += ["--images", "photos", "--labels", "truth", "--weights", "unused"]
    command = ["evaluate", "--data", "image_folder_labels", *map(str, options)]
    examples = data.open_dataset(__main__.make_parser().parse_args(command), "train")
    for example in data.arrays(examples, 4):
        stored = files.read_label(folder / "truth" / f"{example['name']}.png")[..., 0]
        assert (stored == 4).any()
        np.testing.assert_array_equal(example["label"], np.where(stored == 4, 255, stored))


def test_logits_must_have_the_size_of_the_image(drawn, tmp_path):
    image = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(CLASSES, 3, strides=2, padding="same")(image)
    keras.Model(image, logits).save(tmp_path / "small.keras")
    options = [*OPTIONS, "--start", tmp_path / "small.keras", "--steps", 1, "--out", tmp_path / "a"]
    with pytest.raises(UserError, match=r"For \[33, 50\] they have \[17, 25\]"):
        run_program(*options)
    with pytest.raises(UserError, match="must have the size of the image"):
        run_program("evaluate", "--data", "drawn", "--weights", tmp_path / "small.keras")
    run_program(*options, "--crf", "potts")  # which resizes them


def test_a_label_beyond_the_classes_is_named_where_images_are_not_kept(
    drawn, tmp_path, monkeypatch
):
    monkeypatch.setattr("examples.training.data.CACHE_BYTES", 0)
    options = [*OPTIONS, "--network", "small", "--classes", 2]
    with pytest.raises(UserError, match=r"image \d: its label has the values .* 2 classes"):
        run_program(*options, "--steps", 9, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_a_path_that_cannot_be_written_is_told(base, drawn, tmp_path, monkeypatch):
    """The whole program, as the errors of the system are told at its end."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(command_line, "make_repeatable", lambda: None)
    with pytest.raises(UserError, match="file is no folder"):
        run_program(*OPTIONS, *NEW, "--steps", 1, "--out", file)
    training = [*OPTIONS, *NEW, "--steps", "1", "--out", str(file / "run")]
    with pytest.raises(SystemExit, match="^error: .*file/run: Not a directory"):
        command_line.run_program(__main__.make_parser().parse_args(training))
    evaluation = ["evaluate", "--data", "drawn", "--weights", str(base / "network.keras")]
    arguments = __main__.make_parser().parse_args([*evaluation, "--json", str(tmp_path)])
    with pytest.raises(SystemExit, match="^error: .*: Is a directory"):
        command_line.run_program(arguments)


def test_a_data_set_without_labels_is_refused(monkeypatch):
    example = {"image": np.zeros((2, 2, 3), np.uint8), "target": np.zeros((2, 2, 1)), "name": b"a"}
    depth = Examples(tf.data.Dataset.from_tensors(example), 1, "depth")
    monkeypatch.setattr(data, "load_examples", lambda *args, **kwargs: depth)
    args = __main__.make_parser().parse_args("evaluate --data depth --weights x".split())
    with pytest.raises(UserError, match="depth has no labels"):
        data.open_dataset(args, "train")

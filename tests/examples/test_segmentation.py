"""The segmentation program, on drawn images that stand in for a data set."""

import json
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from examples import datasets, files
from examples.segmentation import __main__, data, evaluate, metrics, networks, palettes, train
from examples.training import checkpoints, command_line
from examples.training.errors import UserError
from keras_pac.models import FCN8s, PacJointUpsampleLite, fcn8s
from tests.support.processes import finish, start_python
from tests.support.run_logs import log_of
from tests.support.segmentation_child import CLASSES, drawn_examples, open_drawn
from tests.support.small_datasets import make_labels, save_image

OPTIONS = "train --data drawn --crop 24 --batch-size 2 --seed 3".split()
NEW = ["--network", "small", "--classes", str(CLASSES)]


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(data, "open_dataset", open_drawn)


def run_program(*arguments):
    """Run the program in this process, without the determinism that it cannot switch off again."""
    command_line.run_command(__main__.make_parser().parse_args([str(a) for a in arguments]))


def start_child(full_disk, *runs):
    """A process that runs the program once for each list of arguments."""
    arguments = json.dumps([full_disk, *([str(a) for a in run] for run in runs)])
    return start_python("-m", "tests.support.segmentation_child", arguments)


def load(folder):
    return keras.models.load_model(folder / "network.keras")


def assert_same_bits(folder, other):
    for one, two in zip(load(folder).get_weights(), load(other).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"]])
def test_every_command_has_a_help_page(command, capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main([*command, "--help"])
    assert end.value.code == 0
    assert "python -m examples.segmentation" in capsys.readouterr().out


# Measures and colours


def test_scores_are_those_of_counting_pixel_by_pixel(rng):
    truths = [rng.integers(0, 5, size).astype(np.uint8) for size in ((7, 9), (4, 6))]
    truths[0][truths[0] == 3] = 0  # class 3 occurs in no truth, but is predicted
    truths[1][truths[1] == 3] = 255
    predictions = [rng.integers(0, 5, truth.shape).astype(np.uint8) for truth in truths]
    truths[0][:2] = 255
    confusion = sum(metrics.confusion_matrix(*pair, 5) for pair in zip(truths, predictions))
    result = metrics.scores(confusion)

    pixels = [
        (int(t), int(p))
        for truth, prediction in zip(truths, predictions)
        for t, p in zip(truth.ravel(), prediction.ravel())
        if t != 255
    ]
    ious = []
    for c in (0, 1, 2, 4):
        intersection = sum(t == c and p == c for t, p in pixels)
        ious.append(intersection / sum(t == c or p == c for t, p in pixels))
    np.testing.assert_allclose([*result["iou"][:3], result["iou"][4]], ious, rtol=1e-12)
    assert np.isnan(result["iou"][3])
    assert result["mean_iou"] == pytest.approx(sum(ious) / 4)
    assert result["pixel_accuracy"] == pytest.approx(sum(t == p for t, p in pixels) / len(pixels))
    assert confusion[1, 2] == sum(pair == (1, 2) for pair in pixels)


def test_the_palette_of_voc():
    # From the development kit's list of classes and colours.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0)}
    known |= {15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    for label, color in known.items():
        assert tuple(palettes.voc_palette()[label]) == color
    assert len(np.unique(palettes.voc_palette(), axis=0)) == 256
    assert palettes.class_names("voc", 21)[15] == "person"


def test_the_palette_of_camvid():
    palette = palettes.camvid_palette()
    names = palettes.class_names("camvid", 11)
    assert tuple(palette[names.index("car")]) == (64, 0, 128)
    assert tuple(palette[names.index("road")]) == (128, 64, 128)
    assert tuple(palette[255]) == (0, 0, 0)
    assert palettes.class_names("camvid", 3) == ["0", "1", "2"]


# Training data


def coordinates(sizes):
    """Images whose first two channels are the row and the column, and labels that are their sum."""
    images = data.Images([], [], [], 0)
    for rows, cols in sizes:
        row, col = np.indices((rows, cols), dtype=np.uint8)
        images.names.append(f"{rows}x{cols}")
        images.images.append(np.stack([row, col, row], -1))
        images.labels.append(row + col)
    return images


def test_crops_and_mirror_images_of_an_image_and_its_label_are_the_same():
    sampler = data.Sampler(coordinates([(40, 50), (30, 35)]), 24, flips=True, seed=0)
    corners, mirrored = set(), set()
    for index in range(40):
        image, label = sampler(index)
        assert image.shape == (24, 24, 3) and label.shape == (24, 24)
        np.testing.assert_array_equal(label, image[..., 0] + image[..., 1])
        corners.add(tuple(image[0, 0]))
        mirrored.add(bool(image[0, 0, 1] > image[0, 1, 1]))
        again = data.Sampler(sampler.images, 24, flips=True, seed=0)(index)
        np.testing.assert_array_equal(image, again[0])
    assert len(corners) > 30 and mirrored == {False, True}
    assert [sorted(sampler.order.epoch(epoch)) for epoch in range(3)] == [[0, 1]] * 3


@pytest.mark.parametrize("crop, size", [(32, (32, 32)), (0, (30, 50))], ids=["crop", "whole"])
def test_images_of_different_sizes_are_filled_up_with_ignored_pixels(crop, size):
    sampler = data.Sampler(coordinates([(20, 50), (30, 25)]), crop, flips=False, seed=0)
    images, labels = next(iter(data.batches(sampler, 2, 0, 1).as_numpy_iterator()))
    assert images.shape == (2, *size, 3) and labels.shape == (2, *size)
    for image, label in zip(images, labels):
        inside = label != 255
        rows, cols = inside.any(1).sum(), inside.any(0).sum()
        assert (rows, cols) in {(20, min(50, crop or 50)), (30, 25)}
        assert inside[:rows, :cols].all() and not image[~inside].any()


def test_batches_go_on_where_they_stopped():
    sampler = data.Sampler(coordinates([(40, 50), (30, 35), (30, 30)]), 24, True, seed=1)
    whole = list(data.batches(sampler, 2, 0, 5).as_numpy_iterator())
    rest = list(data.batches(sampler, 2, 3, 5).as_numpy_iterator())
    for one, two in zip(whole[3:], rest, strict=True):
        for array, same in zip(one, two):
            np.testing.assert_array_equal(array, same)


def test_ignored_pixels_do_not_count_in_the_loss(rng):
    logits = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    labels = rng.integers(0, 5, (2, 3, 4)).astype(np.uint8)
    labels[0, 1:] = 255
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = train.pixel_loss(variable, tf.constant(labels))
    counted = labels != 255
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    expected = -np.log([p[label] for p, label in zip(probabilities[counted], labels[counted])])
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    gradient = tape.gradient(loss, variable).numpy()
    np.testing.assert_array_equal(gradient.any(-1), counted)
    assert float(train.pixel_loss(variable, tf.fill((2, 3, 4), np.uint8(255)))) == 0


# Networks


@pytest.mark.parametrize("size", [(1, 1), (37, 50)])
def test_the_small_network_takes_any_size(size):
    network = networks.small(7)
    assert network(np.zeros((1, *size, 3), np.float32)).shape == (1, *size, 7)
    assert 300_000 < network.count_params() < 600_000


def test_fcn8s_takes_the_images_that_the_small_network_takes(monkeypatch, tmp_path, rng):
    monkeypatch.setattr(fcn8s, "BLOCKS", tuple((count, 4) for count, _ in fcn8s.BLOCKS))
    monkeypatch.setattr(fcn8s, "FC_FILTERS", 6)
    network = networks.make_network("FCN8s", 5, "same", None)
    network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    network.save(tmp_path / "fcn8s.keras")
    image = rng.integers(0, 256, (1, 35, 44, 3)).astype(np.float32)
    result = networks.load_network(tmp_path / "fcn8s.keras")(image).numpy()
    plain = FCN8s(5, padding="same")
    plain.set_weights(network.get_weights())
    expected = plain(keras.applications.vgg16.preprocess_input(image.copy())).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    swapped = networks.swap(network, ["conv3_3"], "conv2_2", 1e-4)(image).numpy()
    np.testing.assert_allclose(swapped, expected, atol=1e-3 * np.abs(expected).max())


def test_weights_of_vgg16_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match="--weights .*broken.h5 cannot be read"):
        networks.make_network("FCN8s", 5, "same", str(tmp_path / "broken.h5"))


def test_the_networks_need_logits_of_an_rgb_image(tmp_path):
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).save(tmp_path / "dense.keras")
    (tmp_path / "broken.keras").write_bytes((tmp_path / "dense.keras").read_bytes()[:3000])
    with pytest.raises(UserError, match="dense.keras is no segmentation network"):
        networks.load_network(tmp_path / "dense.keras")
    PacJointUpsampleLite(4).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="other.keras is no segmentation network"):
        networks.load_network(tmp_path / "other.keras")
    with pytest.raises(UserError, match="broken.keras is no trained network"):
        networks.load_network(tmp_path / "broken.keras")


def test_crf_names_and_json():
    assert len(networks.pairwise_kernels("two")) == 2
    assert networks.pairwise_kernels('{"blur": 2}') == {"blur": 2}
    with pytest.raises(UserError, match="one of potts, 2d, 4d, two, or .* Received: best"):
        networks.pairwise_kernels("best")


# Training


@pytest.fixture
def tiny(tmp_path):
    """The file of a network that has what the real ones have, dropout too, and is built at once."""
    layers = [keras.layers.Conv2D(4, 3, padding="same", use_bias=False)]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    layers += [keras.layers.Conv2D(CLASSES, 1)]
    network = keras.Sequential([keras.Input((None, None, 3)), *layers], name="tiny")
    network.save(tmp_path / "tiny.keras")
    return tmp_path / "tiny.keras"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a short training, to read from."""
    folder = tmp_path_factory.mktemp("runs") / "base"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "open_dataset", open_drawn)
        steps = ["--steps", 20, "--save-every", 10, "--learning-rate", 0.01]
        run_program(*OPTIONS, *NEW, *steps, "--validation", "val", "--out", folder)
    return folder


def test_a_training_learns_and_writes_its_logs_and_its_network(base, drawn):
    log = log_of(base)
    assert log[0] == ["step", "epoch", "learning_rate", "loss", "mean_iou"]
    assert [row[0] for row in log[1:]] == ["10", "20"]
    assert float(log[1][3]) > 1.5 * float(log[2][3])  # the loss falls
    assert float(log[1][2]) == pytest.approx(0.01 * 0.5**0.9) and float(log[2][2]) == 0
    assert log[1][4] == "" and 0 < float(log[2][4]) < 1
    records = list(tf.data.TFRecordDataset([str(p) for p in (base / "tensorboard").iterdir()]))
    assert len(records) > 2 * 4
    report = metrics.scores(evaluate.measure(load(base), open_drawn(None, "val", CLASSES)))
    assert report["mean_iou"] == pytest.approx(float(log[2][4]), abs=1e-6)


def test_another_run_is_refused(base, drawn, capsys):
    options = [*OPTIONS, *NEW, "--steps", 20, "--save-every", 10, "--out", base]
    with pytest.raises(UserError, match="--resume"):
        run_program(*options)
    with pytest.raises(UserError, match="learning_rate is 0.01 there and 0.001 here"):
        run_program(*options, "--resume")
    written = (base / "network.keras").stat().st_mtime_ns
    capsys.readouterr()
    run_program(*options, "--learning-rate", 0.01, "--resume")
    assert "all 20 steps are done" in capsys.readouterr().out
    assert (base / "network.keras").stat().st_mtime_ns == written


def backbone_and_rest(network):
    """Weights of the nested backbone, and those of the CRF and its features."""
    backbone = network.get_layer("tiny")
    inside = [v.numpy() for v in backbone.weights]
    own = {id(v) for v in backbone.variables}
    return inside, [v.numpy() for v in network.variables if id(v) not in own]


def test_the_crf_is_trained_alone_first_then_all_together(tiny, drawn, tmp_path):
    kernel = '{"kernel_size": 3, "compatibility": "potts", "dilation_rate": 2}'
    options = [*OPTIONS, "--start", tiny, "--crf", kernel, "--crop", 0]
    options += ["--steps", 2, "--out", tmp_path / "run"]
    seen = {}

    def save(self, step, settings, variables, network):
        seen[step] = backbone_and_rest(network)
        original(self, step, settings, variables, network)

    original = train.RunFolder.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.RunFolder, "save", save)
        run_program(*options, "--crf-steps-alone", 3)
    start = keras.models.load_model(tiny).get_weights()
    (alone, crf_alone), (together, crf_together) = seen[3], seen[5]
    assert len(crf_alone) > 2
    for one, two, three in zip(start, alone, together, strict=True):
        np.testing.assert_array_equal(one, two)  # those of batch normalization included
        assert not np.array_equal(two, three)
    # Both stages train the filter, the unary weight and the scales, from where the last one ended.
    for one, two in zip(crf_alone, crf_together, strict=True):
        assert not np.array_equal(one, two)
    log = log_of(tmp_path / "run")
    assert [(row[0], float(row[2])) for row in log[1:]] == [("3", 0), ("5", 0)]
    whole = load(tmp_path / "run")
    assert whole(np.zeros((1, 21, 34, 3), np.float32)).shape == (1, 21, 34, CLASSES)
    assert all(layer.trainable for layer in whole.layers)


def test_swapped_layers_start_as_they_were(base, tmp_path):
    arguments = ["--start", base / "network.keras", "--swap", "conv2_2", "up2"]
    arguments += ["--guide", "conv1_1_relu", "--steps", 1, "--out", tmp_path]
    args = __main__.make_parser().parse_args([str(a) for a in [*OPTIONS, *arguments]])
    network, added = train.build_network(args)
    assert not added and type(network.get_layer("up2")).__name__ == "PacConv2D"
    image = next(drawn_examples())["image"][None].astype(np.float32)
    before, after = (np.asarray(n(image)) for n in (load(base), network))
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


@pytest.mark.parametrize(
    "change, message",
    [
        (["--classes", 7], "has 4 classes, not --classes 7"),
        (["--swap", "conv2_2"], "--swap LAYER … and --guide LAYER go together"),
        (["--swap", "conv9", "--guide", "conv1_1"], "--swap: .*'conv9' is no layer of the model"),
        (["--weights", "imagenet"], "--weights is for --network FCN8s"),
        (["--crf-steps-alone", 3], "--crf-steps-alone needs --crf"),
        (["--loose"], "--loose needs --crf"),
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


CRF = ["--crf", '[{"kernel_size": 3, "compatibility": "4d"}]', "--mean-field-steps", 2]


@pytest.mark.parametrize(
    "full_disk", [6, pytest.param(8, marks=pytest.mark.slow)], ids=["crf alone", "together"]
)
def test_an_interrupted_and_resumed_training_ends_with_the_same_bits(tmp_path, tiny, full_disk):
    # Checkpoints 1 to 4 are those of the whole run, the others those of the interrupted one.
    options = [*OPTIONS, "--start", tiny, *CRF, "--crf-steps-alone", 4]
    options += ["--steps", 4, "--save-every", 2]
    whole, stopped = ([*options, "--out", tmp_path / name] for name in ("whole", "stopped"))
    output = finish(start_child(full_disk, whole, stopped, [*stopped, "--resume"]))
    assert "No space is left on the disk" in output
    assert f"steps {2 * (full_disk - 5) + 1} to 8" in output
    assert log_of(tmp_path / "stopped") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "stopped", tmp_path / "whole")
    assert not checkpoints.stale_files(tmp_path / "stopped")


@pytest.mark.slow
def test_a_killed_and_resumed_training_ends_with_the_same_bits(tmp_path):
    options = [*OPTIONS, *NEW, "--steps", 30, "--save-every", 3, "--crop", 0]
    finish(start_child(0, [*options, "--out", tmp_path / "whole"]))
    options += ["--out", tmp_path / "killed"]
    killed = start_child(0, options)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "checkpoint.npz").exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)  # into the steps after the checkpoint
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    step = checkpoints.load_checkpoint(tmp_path / "killed" / "checkpoint.npz").step
    assert step < 30
    output = finish(start_child(0, [*options, "--resume"]))
    assert f"steps {step + 1} to 30" in output
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


# Bad input


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
    def open_split(args, split, classes):
        if split != "val":
            return open_drawn(args, split, classes)
        image = np.zeros((8, 9, 3), np.uint8)
        return data.checked(
            (
                {"image": image, "label": np.full((8, 9, 1), label, np.uint8), "name": b"%d" % i}
                for i, label in enumerate(labels)
            ),
            classes,
        )

    monkeypatch.setattr(data, "open_dataset", open_split)
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS, *NEW, "--steps", 1, "--validation", "val", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


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


def test_a_path_that_cannot_be_written_is_told(base, drawn, tmp_path, monkeypatch):
    """The whole program, as the errors of the system are told at its end."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(command_line, "make_repeatable", lambda: None)
    training = [*OPTIONS, *NEW, "--steps", "1", "--out", str(file / "run")]
    with pytest.raises(SystemExit, match="^error: .*file/run: Not a directory"):
        command_line.run_program(__main__.make_parser().parse_args(training))
    evaluation = ["evaluate", "--data", "drawn", "--weights", str(base / "network.keras")]
    arguments = __main__.make_parser().parse_args([*evaluation, "--json", str(tmp_path)])
    with pytest.raises(SystemExit, match="^error: .*: Is a directory"):
        command_line.run_program(arguments)


def test_a_data_set_without_labels_is_refused(monkeypatch):
    example = {"image": np.zeros((2, 2, 3), np.uint8), "target": np.zeros((2, 2, 1)), "name": b"a"}
    depth = tf.data.Dataset.from_tensors(example)
    monkeypatch.setattr(datasets, "load", lambda *args, **kwargs: depth)
    args = __main__.make_parser().parse_args("evaluate --data depth --weights x".split())
    with pytest.raises(UserError, match="depth has no labels"):
        data.open_dataset(args, "train", 3)


# Evaluation and prediction


def test_evaluation(base, tiny, drawn, tmp_path, capsys):
    paths = [base / "network.keras", tiny]
    run_program(
        *("evaluate", "--data", "drawn", "--weights", *paths, "--json", tmp_path / "a" / "r.json"),
        *("--pictures", tmp_path / "pictures", "--picture-count", 2),
    )
    report = json.loads((tmp_path / "a" / "r.json").read_text())
    assert list(report["networks"]) == list(map(str, paths))
    examples = list(open_drawn(None, "val", CLASSES))
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

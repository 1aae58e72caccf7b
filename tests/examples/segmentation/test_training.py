"""Training: logs, stages, swapped layers, interruptions."""

import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.segmentation import __main__, evaluate, metrics, train
from examples.training import checkpoints
from examples.training.errors import UserError
from tests.support.processes import finish
from tests.support.run_logs import log_of
from tests.support.segmentation_child import CLASSES, drawn_examples, open_drawn
from tests.support.segmentation_program import (
    NEW,
    OPTIONS,
    assert_same_bits,
    load,
    run_program,
    start_child,
)


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

"""Training: logs, checkpoints, interruptions, several devices."""

import dataclasses
import functools
import importlib.util
import json
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from examples.joint_upsampling import data
from examples.joint_upsampling.networks import make_network
from examples.training.errors import UserError
from tests.support.full_disk import full_on_call
from tests.support.joint_upsampling_child import open_drawn
from tests.support.joint_upsampling_program import (
    OPTIONS,
    run_program,
    start_child,
    weights_of,
    write_pairs,
)
from tests.support.processes import finish
from tests.support.run_logs import log_of, step_of, steps_of


def test_a_training_writes_its_logs_and_its_network(drawn, tmp_path):
    options = ["--steps", 6, "--save-every", 4, "--validation", "test", "--out", tmp_path / "run"]
    run_program(*OPTIONS, *options)
    assert steps_of(tmp_path / "run") == [4, 6]
    first, last = (float(row["val_measured"]) for row in log_of(tmp_path / "run"))
    assert np.isnan(first) and last > 0
    events = list((tmp_path / "run" / "tensorboard" / "train").iterdir())
    records = list(tf.data.TFRecordDataset([str(path) for path in events]))
    assert len(records) > 2 * 3
    network = keras.models.load_model(tmp_path / "run" / "network.keras")
    assert network.factor == 4 and network.count_params() == 55509

    with pytest.raises(UserError, match="--resume"):
        run_program(*OPTIONS, *options)
    written = (tmp_path / "run" / "network.keras").stat().st_mtime_ns
    run_program(*OPTIONS, *options, "--resume")  # nothing is left to do
    assert (tmp_path / "run" / "network.keras").stat().st_mtime_ns == written


def test_a_validation_is_due_when_asked_for_and_is_what_evaluate_measures(drawn, tmp_path):
    options = ["--validation", "test", "--validate-every", 2, "--border", 9]
    run_program(*OPTIONS, *options, "--steps", 5, "--save-every", 1, "--out", tmp_path / "run")
    measured = [float(row["val_measured"]) for row in log_of(tmp_path / "run")]
    assert np.isfinite(measured).tolist() == [False, True, False, True, True]
    network = tmp_path / "run" / "network.keras"
    for border in (9, 3):
        report = ["--border", border, "--json", tmp_path / "report.json"]
        run_program("evaluate", "--data", "drawn", "--weights", network, *report)
        report = json.loads((tmp_path / "report.json").read_text())
        error = report["methods"][str(network)]["mean"]
        assert (error == pytest.approx(measured[-1], rel=1e-5)) == (border == 9)


def test_a_loss_that_is_no_number_ends_the_training_at_once(drawn, tmp_path):
    options = ["--schedule", "steps", "--learning-rate", 1e30, "--steps", 9, "--save-every", 9]
    with pytest.raises(UserError, match="no numbers after step 2 .* smaller --learning-rate"):
        run_program(*OPTIONS, *options, "--out", tmp_path)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_weights_that_are_no_numbers_are_not_saved(drawn, tmp_path, monkeypatch):
    """The loss is the one before the update: it is finite still."""

    def spoil(progress, epoch, logs):
        progress.model.weights[0].assign(progress.model.weights[0] * np.inf)

    monkeypatch.setattr("examples.training.run.Progress.on_epoch_end", spoil)
    with pytest.raises(UserError, match="weights are no numbers after step 1 .*loss is 0"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path)
    assert not (tmp_path / "checkpoint.npz").exists()
    assert not (tmp_path / "network.keras").exists()


def test_a_split_that_cannot_be_measured_stops_the_program_before_training(drawn, tmp_path):
    options = ["--validation", "test", "--border", 24, "--steps", 1, "--out", tmp_path / "run"]
    with pytest.raises(UserError, match="scene 100: no pixel .* border of 24 pixels"):
        run_program(*OPTIONS, *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_a_finished_run_gives_back_a_network_that_was_lost(drawn, short_run, tmp_path, harm):
    shutil.copytree(short_run, tmp_path / "run")
    harm(tmp_path / "run" / "network.keras")
    run_program(*OPTIONS, "--steps", 1, "--out", tmp_path / "run", "--resume")
    assert_same_bits(tmp_path / "run", short_run)


def test_a_network_is_not_overwritten_unasked(drawn, tmp_path):
    """That of a run whose first checkpoint is missing is: the run goes on from the start."""
    (tmp_path / "network.keras").write_bytes(b"mine")
    with pytest.raises(UserError, match="network.keras exists: --resume goes on with that run"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path)
    assert (tmp_path / "network.keras").read_bytes() == b"mine"
    run_program(*OPTIONS, "--steps", 1, "--out", tmp_path, "--resume")
    keras.models.load_model(tmp_path / "network.keras")


def test_a_run_goes_on_with_a_default_said_aloud_and_with_a_validation(drawn, tmp_path):
    options = [*OPTIONS, "--steps", 4, "--save-every", 2, "--out", tmp_path]
    with pytest.raises(UserError, match="No space is left"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "savez", full_on_call(2, np.savez))
        run_program(*options)
    validation = ["--validation", "test", "--border", 3, "--low-res", "center"]
    run_program(*options, *validation, "--resume")
    assert [np.isfinite(float(row["val_measured"])) for row in log_of(tmp_path)] == [False, True]
    with pytest.raises(UserError, match="low_res is 'center' there and 'last' here"):
        run_program(*options, "--low-res", "last", "--resume")


def test_two_trainings_do_not_share_a_folder(drawn, tmp_path, monkeypatch):
    """The second one is refused while the first is at work, and leaves its files alone."""
    options = [*OPTIONS, "--steps", 1, "--out", tmp_path]
    refused = []

    def save_network(path, network):
        if not refused:
            refused.append(True)
            (tmp_path / ".log.csv.1.partial").touch()
            with pytest.raises(UserError, match="Another process is training in"):
                run_program(*options)
            assert (tmp_path / ".log.csv.1.partial").exists()

    monkeypatch.setattr("examples.training.run.save_network", save_network)
    run_program(*options)
    assert refused and steps_of(tmp_path) == [1]


def test_files_of_others_stay(drawn, tmp_path):
    (tmp_path / ".notes.partial").write_text("mine")
    run_program(*OPTIONS, "--steps", 1, "--out", tmp_path)
    assert (tmp_path / ".notes.partial").read_text() == "mine"


def test_a_failure_of_tensorboard_is_not_the_data_sets(drawn, tmp_path):
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(UserError, match="TensorFlow failed: .*tensorboard is not a directory"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path)


COLUMNS = b"epoch,learning_rate,loss,rmse,step,val_measured\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "it has the columns ['a', 'b']"),
        (b"epoch,step,loss,mine\n", "'mine'"),
        (b"step,loss\n1,\xff\n", "can't decode"),
        (COLUMNS + b"a,b,c,d,e,f\n", "'e'"),
        (COLUMNS + b"0,0,0,0,0,0,0\n", "fields not in fieldnames"),
    ],
)
def test_a_log_that_is_none_of_a_run_is_named_and_kept(drawn, tmp_path, content, message):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(UserError, match="log.csv is no log of a run: .*" + re.escape(message)):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path)
    assert (tmp_path / "log.csv").read_bytes() == content


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """The folder of a training of one step, to read from."""
    folder = tmp_path_factory.mktemp("short_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "open_dataset", open_drawn)
        run_program(*OPTIONS, "--steps", 1, "--out", folder)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--network", "PacJointUpsample"], "network is 'PacJointUpsampleLite' there"),
        (["--factor", "8"], "factor is 4 there and 8 here"),
        (["--learning-rate", "0.5"], "learning_rate is 0.001 there and 0.5 here"),
        (["--seed", "7"], "seed is 0 there and 7 here"),
        (["--steps", "2"], "steps is 1 there and 2 here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(drawn, short_run, change, message):
    before = (short_run / "checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS, "--steps", 1, "--out", short_run, "--resume", *change)
    assert (short_run / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "others"}, "data set is 'drawn' there and 'others' here"),
        ({"count": 4}, "images is 5 there and 4 here"),
    ],
)
def test_a_checkpoint_of_a_run_on_other_images_is_refused(monkeypatch, short_run, change, message):
    def open_others(args, split):
        return dataclasses.replace(open_drawn(args, split), **change)

    monkeypatch.setattr(data, "open_dataset", open_others)
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS, "--steps", 1, "--out", short_run, "--resume")


def test_what_a_killed_process_left_is_removed(drawn, short_run, tmp_path):
    """Rows after the checkpoint, a row that is written in part, and files without a name."""
    shutil.copytree(short_run, tmp_path / "run")
    log = tmp_path / "run" / "log.csv"
    before = log.read_text()
    row = dict(log_of(short_run)[0], step="2")
    log.write_text(f"{before}{','.join(row.values())}\n0,0.00")
    (tmp_path / "run" / ".checkpoint.npz.1.partial").write_bytes(b"half")
    run_program(*OPTIONS, "--steps", 1, "--out", tmp_path / "run", "--resume")
    assert log_of(tmp_path / "run") == log_of(short_run)
    assert not list((tmp_path / "run").glob(".*"))


def test_a_file_of_other_initial_weights_is_refused_and_a_moved_one_is_not(
    drawn, short_run, tmp_path
):
    start = tmp_path / "start.keras"
    shutil.copy(short_run / "network.keras", start)
    options = [*OPTIONS, "--steps", 1, "--out", tmp_path / "run", "--initial-weights"]
    run_program(*options, start)
    run_program(*options, short_run / "network.keras", "--resume")
    make_network("PacJointUpsampleLite", 4).save(start)
    with pytest.raises(UserError, match="initial_weights is 'a file with checksum"):
        run_program(*options, start, "--resume")


def test_a_truncated_checkpoint_is_named(drawn, short_run, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes((short_run / "checkpoint.npz").read_bytes()[:-1000])
    with pytest.raises(UserError, match="checkpoint.npz is no checkpoint that can be read"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path, "--resume")


def test_a_checkpoint_with_other_variables_is_refused(drawn, short_run, tmp_path):
    with np.load(short_run / "checkpoint.npz") as arrays:
        np.savez(tmp_path / "checkpoint.npz", *list(arrays.values())[:-1])
    with pytest.raises(UserError, match="checkpoint.npz has other variables than the network"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path, "--resume")


def test_a_full_disk_leaves_the_last_checkpoint(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez", full_on_call(2, np.savez))
    with pytest.raises(UserError, match="No space is left on the disk.*--resume"):
        run_program(*OPTIONS, "--steps", 3, "--save-every", 1, "--out", tmp_path)
    assert step_of(tmp_path) == 1
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    monkeypatch.setattr(data, "open_dataset", open_drawn)
    run_program(*OPTIONS, "--steps", 3, "--save-every", 1, "--out", tmp_path, "--resume")
    assert steps_of(tmp_path) == [1, 2, 3]


def test_the_loss_is_the_one_that_was_asked_for(drawn, tmp_path):
    logs = {}
    for loss in ("l1", "l2"):
        out = ["--loss", loss, "--steps", 1, "--batch-size", 1, "--out", tmp_path / loss]
        run_program(*OPTIONS, *out)
        (logs[loss],) = log_of(tmp_path / loss)
    rmse = float(logs["l2"]["rmse"])
    assert logs["l1"]["rmse"] == logs["l2"]["rmse"]
    assert float(logs["l2"]["loss"]) == pytest.approx(rmse**2, rel=1e-5)
    assert 0.1 * rmse < float(logs["l1"]["loss"]) < 0.99 * rmse


def test_images_that_are_deleted_while_training(tmp_path, monkeypatch):
    """The data set is a copy of them; if that is deleted, the program says so."""
    monkeypatch.setattr("examples.training.data.CACHE_BYTES", 0)
    pairs = [*write_pairs(tmp_path / "pairs"), "--data-dir", tmp_path / "prepared"]
    options = [*OPTIONS[:1], *pairs, *OPTIONS[3:], "--steps", 20, "--save-every", 5]

    def delete(folder, path, network):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)

    monkeypatch.setattr("examples.training.run.save_network", functools.partial(delete, "pairs"))
    run_program(*options, "--out", tmp_path / "finished")
    assert steps_of(tmp_path / "finished") == [5, 10, 15, 20]
    write_pairs(tmp_path / "pairs")
    monkeypatch.setattr("examples.training.run.save_network", functools.partial(delete, "prepared"))
    with pytest.raises(UserError, match="The prepared data set cannot be read: .*No such file"):
        run_program(*options, "--out", tmp_path / "stopped")


def test_moved_images_are_the_same_and_changed_ones_are_not(tmp_path):
    def run(folder, *more):
        pairs = ["--data", "folder", "--images", folder / "rgb", "--targets", folder / "depth"]
        options = ["--data-dir", tmp_path / "prepared", "--steps", 1, "--out", tmp_path / "run"]
        run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], *options, *more)

    write_pairs(tmp_path / "pairs")
    run(tmp_path / "pairs")
    (tmp_path / "pairs").rename(tmp_path / "moved")
    (tmp_path / "moved" / "rgb" / "1.png").touch()
    run(tmp_path / "moved", "--resume")
    change_a_value(tmp_path / "moved" / "rgb" / "1.png")
    with pytest.raises(UserError, match="data set is .* there and .* here"):
        run(tmp_path / "moved", "--resume")


def change_a_value(path):
    """Change one value of one pixel."""
    with Image.open(path) as image:
        changed = np.array(image)
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(path)


def test_a_data_set_of_one_image(tmp_path):
    pairs = [*write_pairs(tmp_path / "pairs", count=1), "--data-dir", tmp_path / "prepared"]
    run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], "--epochs", 3, "--out", tmp_path / "run")
    assert steps_of(tmp_path / "run") == [2]  # batches of two: no epoch is cut short


def test_a_run_goes_on_with_checkpoints_at_other_steps(drawn, tmp_path, monkeypatch):
    """It ends after the same step, with all rows of its log."""
    options = [*OPTIONS, "--steps", 11, "--validation", "test"]
    run_program(*options, "--save-every", 11, "--out", tmp_path / "whole")
    options += ["--out", tmp_path / "stopped"]
    monkeypatch.setattr(np, "savez", full_on_call(3, np.savez))
    with pytest.raises(UserError, match="No space is left on the disk"):
        run_program(*options, "--save-every", 1)
    run_program(*options, "--save-every", 4, "--validate-every", 8, "--resume")
    assert steps_of(tmp_path / "stopped") == [1, 2, 6, 10, 11]
    rows = log_of(tmp_path / "stopped")
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4]
    measured = [np.isfinite(float(row["val_measured"])) for row in rows]
    assert measured == [False, False, False, True, True]
    assert_nearly_equal_weights(tmp_path / "stopped", tmp_path / "whole")


def test_djif_cannot_start_as_interpolation(drawn, tmp_path):
    with pytest.raises(UserError, match="DJIF cannot start as interpolation"):
        run_program(*OPTIONS, "--network", "DJIF", "--steps", 1, "--out", tmp_path)


def test_a_training_starts_where_another_ended(short_run):
    path = short_run / "network.keras"
    network = make_network("PacJointUpsampleLite", 4, initial_weights=path)
    for weight, trained in zip(network.weights, keras.models.load_model(path).weights):
        np.testing.assert_array_equal(weight, trained)
    with pytest.raises(UserError, match="is a PacJointUpsampleLite ×4, not a DJIF ×4"):
        make_network("DJIF", 4, initial_weights=path)
    with pytest.raises(UserError, match="not a PacJointUpsampleLite ×8"):
        make_network("PacJointUpsampleLite", 8, initial_weights=path)
    with pytest.raises(UserError, match="bilinear is no trained network"):
        make_network("DJIF", 8, initial_weights="bilinear")


@pytest.mark.slow
def test_a_killed_and_resumed_training_ends_with_the_same_bits(tmp_path):
    options = [*OPTIONS, "--steps", 30, "--save-every", 3]
    finish(start_child(*options, "--out", tmp_path / "whole"))
    killed = start_child(*options, "--out", tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "checkpoint.npz").exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    time.sleep(0.05)  # into the steps after the checkpoint
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    step = step_of(tmp_path / "killed")
    assert step < 30
    (tmp_path / "killed" / ".checkpoint.npz.1.partial").write_bytes(b"half")
    output = finish(start_child(*options, "--out", tmp_path / "killed", "--resume"))
    assert f"steps {step + 1} to 30" in output
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.slow
def test_a_training_that_is_killed_while_it_writes_goes_on_to_the_same_bits(tmp_path):
    """It is killed again and again: in each of these moments, an epoch or two later."""
    options = [*OPTIONS, "--steps", 7, "--save-every", 1, "--validation", "test"]
    options += ["--validate-every", 1]
    finish(start_child(*options, "--out", tmp_path / "whole"))
    options += ["--out", tmp_path / "killed", "--resume"]
    moments = "network", "between", "checkpoint", "log", "validation"
    for step, moment in enumerate(moments, start=1):
        killed = start_child(*options, KILLED_IN=moment)
        output, _ = killed.communicate(timeout=200)
        assert killed.returncode == -signal.SIGKILL, output
        assert step_of(tmp_path / "killed") == step
        assert keras.models.load_model(tmp_path / "killed" / "network.keras").factor == 4
    assert "steps 6 to 7" in finish(start_child(*options))
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_on_jax_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    options = [*OPTIONS, "--steps", 3, "--save-every", 1, "--validation", "test"]
    jax = {"KERAS_BACKEND": "jax"}
    finish(start_child(*options, "--out", tmp_path / "whole", **jax))
    options += ["--out", tmp_path / "killed"]
    killed = start_child(*options, KILLED_IN="checkpoint", **jax)
    killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL
    assert "steps 2 to 3" in finish(start_child(*options, "--resume", **jax))
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


def assert_same_bits(folder, other):
    for one, two in zip(weights_of(folder), weights_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(drawn, tmp_path, precision):
    run_program(*OPTIONS, "--steps", 3, "--out", tmp_path, "--precision", precision)
    assert all(weight.dtype == np.float32 for weight in weights_of(tmp_path))
    assert np.isfinite(float(log_of(tmp_path)[-1]["loss"]))
    network = keras.models.load_model(tmp_path / "network.keras")
    assert network.dtype_policy.name == precision


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    options = [*OPTIONS, "--steps", 4, "--save-every", 2]
    for devices in (1, 2):
        finish(start_child(*options, "--out", tmp_path / str(devices), "--devices", devices))
    assert_nearly_equal_weights(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_two_workers_train_as_one(tmp_path):
    options = [*OPTIONS, "--steps", 4, "--save-every", 2]
    finish(start_child(*options, "--out", tmp_path / "alone"))
    run_workers(*options, "--out", tmp_path / "both")
    assert_nearly_equal_weights(tmp_path / "alone", tmp_path / "both")


def run_workers(*options):
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two)]
    children = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        children.append(start_child(*options, "--workers", TF_CONFIG=json.dumps(config)))
    try:
        for child in children:
            finish(child)
    finally:
        for child in children:
            child.kill()


def assert_nearly_equal_weights(folder, other):
    """Sums over devices or threads have another order: rounding, enlarged by Adam's division."""
    for one, two in zip(weights_of(folder), weights_of(other)):
        np.testing.assert_allclose(one, two, atol=1e-4)

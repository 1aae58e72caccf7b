"""Training: logs, stages, swapped layers, interruptions."""

import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.segmentation import __main__, data, evaluate, metrics, train
from examples.training.errors import UserError
from keras_pac.layers import PacCRFLoose
from keras_pac.models import fcn8s, with_pac_crf
from tests.support.processes import finish, output_of
from tests.support.run_logs import log_of, step_of, steps_of
from tests.support.segmentation_child import CLASSES, drawn_examples, open_drawn
from tests.support.segmentation_program import (
    NEW,
    OPTIONS,
    assert_same_bits,
    load,
    run_program,
    start_child,
)
from tests.support.tolerances import assert_close


def test_a_training_learns_and_writes_its_logs_and_its_network(base, drawn):
    log = log_of(base)
    assert list(log[0]) == "epoch learning_rate loss mean_iou step val_measured".split()
    assert steps_of(base) == [10, 20]
    assert float(log[0]["loss"]) > 1.5 * float(log[1]["loss"])
    assert float(log[0]["mean_iou"]) < float(log[1]["mean_iou"]) < 1
    rates = [float(row["learning_rate"]) for row in log]
    assert rates[0] == pytest.approx(0.01 * 0.5**0.9) and rates[1] == 0
    assert log[0]["val_measured"] == "nan" and 0 < float(log[1]["val_measured"]) < 1
    events = (base / "tensorboard").rglob("events*")
    records = list(tf.data.TFRecordDataset([str(path) for path in events]))
    assert len(records) > 2 * 4
    validation = data.arrays(open_drawn(None, "val"), CLASSES)
    report = metrics.scores(evaluate.confusion_of(load(base), validation))
    assert report["mean_iou"] == pytest.approx(float(log[1]["val_measured"]), abs=1e-6)


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


def test_the_optimizers_and_their_schedules():
    def optimizer_of(*options):
        command = [*OPTIONS, *NEW, "--steps", "100", "--out", "unused", *options]
        return train.make_optimizer(__main__.make_parser().parse_args(command))

    sgd = optimizer_of("--optimizer", "sgd", "--learning-rate", "0.5")
    assert isinstance(sgd, keras.optimizers.SGD) and sgd.momentum == 0.9
    adam = optimizer_of("--schedule", "cosine", "--learning-rate", "0.5")
    assert isinstance(adam, keras.optimizers.Adam)
    shares = np.array([0, 0.25, 0.75, 1])
    for optimizer, factors in (
        (sgd, (1 - shares) ** 0.9),
        (adam, (1 + np.cos(np.pi * shares)) / 2),
    ):
        rates = [float(optimizer._learning_rate(100 * share)) for share in shares]
        np.testing.assert_allclose(rates, 0.5 * factors, rtol=1e-5, atol=1e-7)


def test_any_program_can_load_the_trained_network(base):
    code = "import keras, keras_pac, sys; print(keras.models.load_model(sys.argv[1]).name)"
    assert output_of(code, [base / "network.keras"]).split()[-1] == "small"


def backbone_and_rest(network):
    """Weights of the nested backbone, and those of the CRF and its features."""
    backbone = network.get_layer("tiny")
    inside = [v.numpy() for v in backbone.weights]
    own = {id(v) for v in backbone.variables}
    return inside, [v.numpy() for v in network.variables if id(v) not in own]


def test_the_crf_is_trained_alone_then_all_together(tiny, drawn, tmp_path):
    kernel = '{"kernel_size": 3, "compatibility": "potts", "dilation_rate": 2}'
    options = [*OPTIONS, "--crop", 0, "--steps", 3]
    crf = ["--crf", kernel, "--crf-alone", "--out", tmp_path / "crf"]
    run_program(*options, "--start", tiny, *crf)
    trained = tmp_path / "crf" / "network.keras"
    run_program(*options, "--start", trained, "--out", tmp_path / "together")
    start = keras.models.load_model(tiny).get_weights()
    alone, crf_alone = backbone_and_rest(load(tmp_path / "crf"))
    together, crf_together = backbone_and_rest(load(tmp_path / "together"))
    for one, two, three in zip(start, alone, together, strict=True):
        np.testing.assert_array_equal(one, two)  # those of batch normalization included
        assert not np.array_equal(two, three)
    # Both runs train the filter, the unary weight and the scales.
    _, crf_start = backbone_and_rest(built([*options, "--start", tiny, *crf])[0])
    assert len(crf_start) > 2
    for one, two, three in zip(crf_start, crf_alone, crf_together, strict=True):
        assert not np.array_equal(one, two) and not np.array_equal(two, three)
    whole = load(tmp_path / "together")
    assert whole(np.zeros((1, 21, 34, 3), np.float32)).shape == (1, 21, 34, CLASSES)
    assert all(variable.trainable for variable in whole.get_layer("tiny").trainable_variables)


def built(options):
    """The network of a training, and the model that trains it."""
    args = __main__.make_parser().parse_args([str(option) for option in options])
    return train.build_network(args)


def test_a_crf_of_many_kernels_is_trained(tiny, drawn, tmp_path):
    """Its JSON is longer than the name of a file may be."""
    kernel = '{"kernel_size": 3, "compatibility": "potts", "dilation_rate": 2, "weight": 0.1}'
    options = ["--start", tiny, "--crf", f"[{', '.join([kernel] * 4)}]", "--steps", 1]
    assert len(options[3]) > 255
    run_program(*OPTIONS, *options, "--out", tmp_path / "run")
    assert steps_of(tmp_path / "run") == [1]


def test_norms_that_keep_their_statistics_are_trained(tiny, drawn, tmp_path):
    options = [*OPTIONS, "--crop", 0, "--steps", 3, "--start", tiny]
    run_program(*options, "--keep-statistics", "--out", tmp_path / "kept")
    run_program(*options, "--out", tmp_path / "moved")
    start, kept, moved = (
        keras.models.load_model(tiny),
        load(tmp_path / "kept"),
        load(tmp_path / "moved"),
    )
    fixed = {v.path for v in start.non_trainable_variables if "moving" in v.path}
    assert len(fixed) == 2
    for one, two, three in zip(start.variables, kept.variables, moved.variables, strict=True):
        if one.trainable or one.path in fixed:
            assert np.array_equal(one, two) == (one.path in fixed)
            assert not np.array_equal(one, three)


def test_units_are_not_dropped_in_trainings_as_in_inference(tiny):
    options = [*OPTIONS, "--start", tiny, *CRF, "--steps", 1, "--out", "unused"]
    images = np.stack([example["image"][:33, :39] for example in drawn_examples(2)])
    for alone in ([], ["--crf-alone"], ["--keep-statistics"]):
        network, trained = built([*options, *alone])
        in_training = np.asarray(trained(images, training=True))
        in_inference = np.asarray(network(images, training=False))
        assert np.array_equal(in_training, in_inference) == bool(alone)


def test_swapped_layers_start_as_they_were(base, tmp_path):
    arguments = ["--start", base / "network.keras", "--swap", "conv2_2", "up2"]
    arguments += ["--guide", "conv1_1_relu", "--steps", 1, "--out", tmp_path]
    network, trained = built([*OPTIONS, *arguments])
    assert trained is network and type(network.get_layer("up2")).__name__ == "PacConv2D"
    image = next(drawn_examples())["image"][None].astype(np.float32)
    before, after = (np.asarray(n(image)) for n in (load(base), network))
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())
    guided, _ = built([*OPTIONS, *arguments, "--guide-scale", 1])
    assert np.abs(guided(image) - before).max() > 1e-2 * np.abs(before).max()


def test_a_crf_is_made_as_its_options_say(tiny, rng):
    options = ["--crf", "two", "--color-scale", 20, 40, "--position-scale", 30, "--loose"]
    options += ["--mean-field-steps", 3, "--steps", 1, "--out", "unused"]
    keras.utils.set_random_seed(0)
    network, _ = built([*OPTIONS, "--start", tiny, *options])
    keras.utils.set_random_seed(0)
    window = {"kernel_size": 5, "compatibility": "4d", "weight": 0.05}
    kernels = [{**window, "dilation_rate": rate} for rate in (16, 64)]
    scales = {"color_scale": [20.0, 40.0], "position_scale": 30.0}
    expected = with_pac_crf(keras.models.load_model(tiny), kernels, **scales, steps=3, loose=True)
    assert type(network.get_layer("crf")) is type(expected.get_layer("crf")) is PacCRFLoose
    image = rng.uniform(0, 255, (1, 70, 80, 3)).astype(np.float32)  # larger than both distances
    # TensorFlow 2.18 gives two networks of the same weights other last digits.
    assert_close(network(image), expected(image), "float32")


def test_the_seed_decides_the_initial_weights(drawn, tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def restore(run, network):
        raise Seen(network.get_layer("conv1_1").kernel.numpy())

    monkeypatch.setattr("examples.training.run.Run.restore", restore)
    kernels = []
    for seed in (3, 3, 4):
        with pytest.raises(Seen) as seen:
            run_program(*OPTIONS, *NEW, "--steps", 1, "--seed", seed, "--out", tmp_path)
        kernels.append(seen.value.args[0])
    first, again, other = kernels
    np.testing.assert_array_equal(again, first)
    assert np.abs(other - first).max() > 0.01


def test_a_new_fcn8s_is_made_as_its_options_say(monkeypatch, tmp_path):
    monkeypatch.setattr(fcn8s, "BLOCKS", tuple((count, 4) for count, _ in fcn8s.BLOCKS))
    monkeypatch.setattr(fcn8s, "FC_FILTERS", 6)
    options = [*OPTIONS, "--network", "FCN8s", "--classes", 5, "--steps", 1, "--out", "unused"]
    for padding in ("original", "same"):
        network, _ = built([*options, "--padding", padding])
        around = [
            layer for layer in network.layers if isinstance(layer, keras.layers.ZeroPadding2D)
        ]
        assert [layer.padding for layer in around] == [((100, 100),) * 2] * (padding == "original")
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match="--weights .*broken.h5 cannot be read"):
        built([*options, "--weights", tmp_path / "broken.h5"])


CRF = ["--crf", '[{"kernel_size": 3, "compatibility": "4d"}]', "--mean-field-steps", 2]


@pytest.mark.parametrize("alone", [["--crf-alone"], pytest.param([], marks=pytest.mark.slow)])
def test_an_interrupted_and_resumed_training_ends_with_the_same_bits(tmp_path, tiny, alone):
    options = [*OPTIONS, "--start", tiny, *CRF, *alone, "--steps", 4, "--save-every", 2]
    finish(start_child(0, [*options, "--out", tmp_path / "whole"]))
    options += ["--out", tmp_path / "stopped"]
    assert "No space is left on the disk" in finish(start_child(2, options))
    assert "steps 3 to 4" in finish(start_child(0, [*options, "--resume"]))
    assert log_of(tmp_path / "stopped") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "stopped", tmp_path / "whole")
    assert not list((tmp_path / "stopped").glob(".*"))


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
    step = step_of(tmp_path / "killed")
    assert step < 30
    output = finish(start_child(0, [*options, "--resume"]))
    assert f"steps {step + 1} to 30" in output
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")

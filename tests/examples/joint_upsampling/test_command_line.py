"""Help pages, defaults, and data that the joint upsampling program refuses."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from examples.joint_upsampling import __main__, data, devices, train
from examples.training.errors import UserError
from tests.support.joint_upsampling_program import OPTIONS, run_program, write_pairs


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"]])
def test_every_command_has_a_help_page(command, capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main([*command, "--help"])
    assert end.value.code == 0
    assert "python -m examples.joint_upsampling" in capsys.readouterr().out


def test_the_defaults_are_the_paper_s_protocol():
    args = __main__.make_parser().parse_args(["train", "--data", "x", "--out", "y"])
    assert (args.learning_rate, args.batch_size, args.crop) == (1e-4, 1, 256)
    assert (args.epochs, args.schedule, args.loss, args.flips) == (5000, "steps", "l2", True)
    optimizer = train.make_optimizer(args, steps=5000)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 3499, 3501, 4499, 4501)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-5, 1e-5, 1e-6])


def optimizer_of(*options, steps):
    args = ["train", "--data", "x", "--out", "y", *options]
    return train.make_optimizer(__main__.make_parser().parse_args(args), steps)


def test_the_rate_rises_before_it_falls_like_a_cosine():
    options = "--schedule cosine --learning-rate 1e-3 --warmup 100".split()
    optimizer = optimizer_of(*options, steps=1100)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 50, 100, 350, 600, 1100)]
    falling = [0.5e-3 * (1 + np.cos(np.pi * share)) for share in (0, 0.25, 0.5, 1)]
    np.testing.assert_allclose(rates, [0, 0.5e-3, *falling], rtol=1e-5, atol=1e-9)
    # A run that is too short for it warms up during one half.
    short = optimizer_of(*options, steps=20)
    rates = [float(short._learning_rate(step)) for step in (5, 10, 20)]
    np.testing.assert_allclose(rates, [0.5e-3, 1e-3, 0], rtol=1e-5, atol=1e-9)


def test_gradients_are_limited_and_losses_scaled_where_asked_for():
    options = ("--clip-norm", "0.2"), ("--precision", "mixed_float16"), ()
    limited, scaled, plain = (optimizer_of(*each, steps=9) for each in options)
    assert limited.global_clipnorm == 0.2 and plain.global_clipnorm is None
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    assert isinstance(plain, keras.optimizers.Adam)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crop", "34"], "multiple of the factor: 34 of 4"),
        (["--batch-size", "3"], "--batch-size 3 cannot be shared equally by 2 devices"),
    ],
)
def test_crops_and_batches_must_be_divisible(options, message):
    args = ["train", "--data", "x", "--out", "y", "--batch-size", "4", *options]
    two_devices = types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(UserError, match=message):
        train.check_options(__main__.make_parser().parse_args(args), two_devices, channels=1)


@pytest.mark.parametrize(
    ("others", "task", "writes"),
    [
        (["worker"] * 2, ("worker", 0), True),
        (["worker"] * 2, ("worker", 1), False),
        (["chief", "worker"], ("chief", 0), True),
        (["chief", "worker"], ("worker", 0), False),
    ],
)
def test_one_of_several_workers_writes_the_files(others, task, writes):
    cluster = tf.train.ClusterSpec({job: ["a"] * others.count(job) for job in others})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, "", *task)
    assert devices.is_chief(types.SimpleNamespace(cluster_resolver=resolver)) == writes


def test_a_folder_has_no_render_pass(tmp_path):
    pairs = write_pairs(tmp_path / "pairs")
    with pytest.raises(UserError, match="--render-pass is for --data mpi_sintel"):
        run_program("evaluate", *pairs, "--render-pass", "clean")


def test_folders_of_pairs(tmp_path, capsys):
    pairs = [*write_pairs(tmp_path / "pairs"), "--data-dir", tmp_path / "prepared"]
    pairs += ["--unknown", 0, "--target-scale", 0.01]
    run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], "--steps", 1, "--out", tmp_path / "run")
    weights = tmp_path / "run" / "network.keras"
    run_program("evaluate", *pairs, "--weights", weights)
    assert "RMSE, mean of 3 images" in capsys.readouterr().out
    run_program("evaluate", *pairs, "--split", "train[1:]")
    assert "RMSE, mean of 2 images" in capsys.readouterr().out
    args = __main__.make_parser().parse_args(["evaluate", *map(str, pairs)])
    examples = list(data.arrays(data.open_dataset(args, "train")))
    assert len(examples) == 3
    for example in examples:
        with Image.open(tmp_path / "pairs" / "depth" / f"{example['name']}.png") as stored:
            stored = np.asarray(stored)[..., None]
        expected = np.where(stored == 0, np.nan, stored / 100)
        np.testing.assert_allclose(example["target"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "1.png has no partner"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "depth/1.png"),
        (lambda path: path.write_bytes(b""), "depth/1.png"),
        (lambda path: Image.new("L", (48, 40), 7).save(path), "48, 48.*40, 48"),
    ],
    ids=["missing", "truncated", "empty", "size"],
)
def test_damaged_files_stop_the_program_before_training(tmp_path, damage, message):
    pairs = [*write_pairs(tmp_path / "pairs"), "--data-dir", tmp_path / "prepared"]
    damage(tmp_path / "pairs" / "depth" / "1.png")
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], "--steps", 1, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()

"""What the training programs share: the settings of a run, options, and how a program ends."""

import errno

import pytest
import tensorflow as tf

from examples import datasets
from examples.joint_upsampling import __main__ as joint_upsampling
from examples.segmentation import __main__ as segmentation
from examples.training import command_line
from examples.training.data import Examples, load_examples
from examples.training.errors import FULL_DISK, UserError
from examples.training.reports import picture_path
from tests.support.small_datasets import make_labels

TRAIN = {
    joint_upsampling: "train --data x --out y --steps 9",
    segmentation: "train --data x --out y --steps 9 --network small --classes 5",
}
DECIDING = {
    joint_upsampling: "--network DJIF; --factor 8; --low-res last; --batch-size 2; --crop 64; "
    "--initial-weights interpolation; --learning-rate 1; --schedule cosine; --warmup 1; "
    "--loss l1; --clip-norm 1; --no-flips; --augment; --seed 1; --precision mixed_float16",
    segmentation: "--network FCN8s; --classes 6; --padding same; --weights imagenet; --swap a; "
    "--guide a; --guide-scale 1; --crf 4d; --color-scale 9; --position-scale 9; "
    "--mean-field-steps 1; --loose; --crf-alone; --batch-size 2; --crop 64; --no-flips; "
    "--keep-statistics; "
    "--optimizer sgd; --learning-rate 1; --schedule cosine; --seed 1",
}
FREE = "--out z; --resume; --save-every 7; --validation a; --validate-every 7; --data-dir z"
ALL_FREE = {joint_upsampling: f"{FREE}; --border 1; --devices 2; --workers", segmentation: FREE}


@pytest.mark.parametrize("program", TRAIN, ids=lambda program: program.__package__)
def test_a_run_goes_on_with_other_options_only_if_they_do_not_decide_its_result(program):
    def settings(options="", count=5, fingerprint="one"):
        args = program.make_parser().parse_args(f"{TRAIN[program]} {options}".split())
        return command_line.settings_of(args, Examples(None, count, fingerprint))

    assert settings() == settings()
    assert settings(count=6) != settings() != settings(fingerprint="two")
    for option in DECIDING[program].split("; "):
        assert settings(option) != settings(), option
    for option in ALL_FREE[program].split("; "):
        assert settings(option) == settings(), option


def test_every_part_of_a_split_has_a_fingerprint_of_its_own(tmp_path):
    make_labels(tmp_path / "mine")
    options = ["--manual-dir", str(tmp_path / "mine"), "--data-dir", str(tmp_path / "prepared")]
    command = ["evaluate", "--data", "image_folder_labels", "--weights", "a", *options]
    args = segmentation.make_parser().parse_args(command)
    splits = [load_examples(args, split, {}) for split in ("train", "train[:2]", "train[1:]")]
    assert [split.count for split in splits] == [3, 2, 2]
    assert len({split.fingerprint for split in splits}) == 3


def test_a_split_that_is_added_to_a_folder_leaves_the_others_as_they_are(tmp_path):
    """One split's name may be the beginning of another's."""

    def fingerprints(*splits):
        builder = datasets.prepare("image_folder_labels", tmp_path / "prepared", tmp_path / "mine")
        return [datasets.fingerprint(builder, split) for split in splits]

    make_labels(tmp_path / "mine" / "train", count=2)
    splits = "train", "train[:1]", "train[1:]"
    before = fingerprints(*splits)
    make_labels(tmp_path / "mine" / "train_more", count=3)
    assert fingerprints(*splits) == before
    both = fingerprints("train", "train_more", "train+train_more", "train + train_more[:1]")
    assert len(set(both)) == 4


@pytest.mark.parametrize("program", TRAIN, ids=lambda program: program.__package__)
@pytest.mark.parametrize(
    "options",
    [f"--{option} 0" for option in ("steps", "batch-size", "save-every", "validate-every")]
    + ["--crop -1", "--seed -1", "--seed 4294967296"]
    + [f"--learning-rate {rate}" for rate in ("0", "-1", "nan", "inf", "1e39", "1e-50")],
)
def test_numbers_without_a_meaning_are_refused(program, options, capsys):
    refuses(program, options, capsys)


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_a_limit_of_the_gradient_without_a_meaning_is_refused(limit, capsys):
    refuses(joint_upsampling, f"--clip-norm {limit}", capsys)


@pytest.mark.parametrize("option", ["guide-scale", "color-scale", "position-scale"])
def test_scales_that_are_not_finite_are_refused(option, capsys):
    refuses(segmentation, f"--{option} nan", capsys)


def refuses(program, options, capsys):
    with pytest.raises(SystemExit):
        program.make_parser().parse_args(f"{TRAIN[program]} {options}".split())
    assert f"argument {options.split()[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, message",
    [
        (UserError("such is life"), "^error: such is life$"),
        (OSError(errno.ENOSPC, FULL_DISK[0], "a"), "^error: No space is left on the disk"),
        (tf.errors.ResourceExhaustedError(None, None, f"a; {FULL_DISK[0]}"), "^error: No space is"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "^error: a: Permission denied$"),
        (KeyboardInterrupt(), "^stopped; .*--resume"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_program_ends_with_a_message(monkeypatch, error, message):
    def fail(args):
        raise error

    monkeypatch.setattr(command_line, "run_command", fail)
    args = segmentation.make_parser().parse_args("evaluate --data x --weights y".split())
    with pytest.raises((SystemExit, KeyboardInterrupt), match=message):
        command_line.run_program(args)


def test_pictures_of_all_examples_lie_in_one_folder(tmp_path):
    names = "alley_1/frame_0001", "alley_1\\frame_0002", "../frame"
    paths = [picture_path(tmp_path, name) for name in names]
    assert {path.parent for path in paths} == {tmp_path} and len(set(paths)) == len(names)

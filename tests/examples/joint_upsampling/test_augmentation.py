"""What makes drawn scenes varied, and the batches of `--low-res any --loss relative`."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import gaussian_filter

from examples.joint_upsampling import augmentation, data
from examples.joint_upsampling.evaluate import interpolate
from examples.joint_upsampling.low_resolution import low_resolution
from examples.joint_upsampling.metrics import KnownPixels, rmse
from examples.training.errors import UserError
from tests.examples.joint_upsampling.test_data import batches_of
from tests.support.joint_upsampling_child import drawn_examples, examples_of
from tests.support.joint_upsampling_program import run_program

SEEDS = [tf.constant([number, 0]) for number in range(40)]


@pytest.fixture
def images(rng):
    """A guide and a target."""
    return [tf.constant(rng.random((24, 32, channels)), tf.float32) for channels in (3, 1)]


def test_blur_is_a_gaussian(images):
    guide, _ = images
    expected = gaussian_filter(guide, (1.5, 1.5, 0), truncate=8)
    blurred = augmentation.blur(guide, 1.5).numpy()
    np.testing.assert_allclose(blurred[12:-12, 12:-12], expected[12:-12, 12:-12], atol=1e-6)
    np.testing.assert_allclose(augmentation.blur(0 * guide + 3, 2.0), 3, rtol=1e-6)


@pytest.mark.parametrize("nearest", [0.1, 1.0])
def test_an_inverted_target_is_one_over_the_depth(images, nearest):
    target = tf.concat([images[1], [[[0.0]] * 32], [[[1.0]] * 32]], 0)
    inverse = augmentation.inverted(target, nearest).numpy()
    assert inverse.min() == pytest.approx(0, abs=1e-6) and inverse.max() == pytest.approx(1)
    slope, offset = np.polyfit(1 / (target.numpy().ravel() + nearest), inverse.ravel(), 1)
    expected = slope / (target.numpy() + nearest) + offset
    np.testing.assert_allclose(inverse, expected, atol=1e-5)
    assert slope > 0


def test_targets_are_changed_in_every_combination(images):
    _, target = images
    seen = set()
    for seed in SEEDS:
        changed = augmentation.change_target(target, seed).numpy()
        rough = np.abs(np.diff(changed, axis=0)).mean() / np.abs(np.diff(target, axis=0)).mean()
        order = np.corrcoef(changed.ravel(), target.numpy().ravel())[0, 1]
        seen.add((order < 0, rough < 0.9))
        assert changed.min() > -1e-5 and changed.max() < 1 + 1e-5
    assert seen >= {(False, False), (False, True), (True, False)}


def test_guides_stay_in_their_range_and_follow_the_seed(images):
    guide, _ = images
    changed = [augmentation.change_guide(guide, seed).numpy() for seed in SEEDS]
    again = [augmentation.change_guide(guide, seed).numpy() for seed in SEEDS]
    np.testing.assert_array_equal(changed, again)
    assert np.min(changed) >= 0 and np.max(changed) <= 1
    assert len({array.tobytes() for array in changed}) == len(SEEDS)


def test_a_guide_from_a_jpeg_is_what_pillow_reads(images):
    guide, _ = images
    ours = augmentation.as_jpeg(guide, 60.0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.round(255 * guide.numpy()))).save(file, "JPEG", quality=60)
    theirs = np.asarray(Image.open(file)) / 255
    assert np.abs(ours - theirs).mean() < 0.2 * np.abs(ours - guide).mean()


def test_low_res_any_is_a_mixture_that_the_network_is_told_in_half_of_the_crops():
    batches = batches_of("--network", "LearnedBilateralUpsample", "--low-res", "any", count=60)
    told, made = [], []
    for (lows, _, kinds), targets in batches:
        for low, (kind,), target in zip(lows, kinds, targets):
            filled = np.nan_to_num(target)  # only whole crops tell how they were made
            errors = {
                how: np.abs(low_resolution(filled, 4, how) - low).max()
                for how in ("center", "pillow", "area")
            }
            how, second = sorted(errors, key=errors.get)[:2]
            if np.isnan(target).any() or errors[how] > 1e-5 or errors[second] < 1e-3:
                continue
            made.append(how)
            told.append(kind)
            assert kind in (0, {"center": 1, "pillow": -1, "area": -1}[how])
    assert 0.3 < np.mean(np.equal(told, 0)) < 0.7
    shares = [made.count(how) / len(made) for how in ("center", "pillow", "area")]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.2)


@pytest.mark.parametrize("how, kind", [("center", 1), ("last", 0), ("bicubic", -1)])
def test_the_network_is_told_the_same_kind_in_half_of_the_crops(how, kind):
    options = ("--network", "LearnedBilateralUpsample", "--low-res", how)
    kinds = np.concatenate([inputs[2] for inputs, _ in batches_of(*options, count=30)])
    assert set(kinds.ravel()) == {0, kind}
    if kind:
        assert 0.3 < np.mean(kinds == kind) < 0.7


def test_relative_loss_is_the_error_as_a_share_of_that_of_interpolation():
    for (lows, _), targets, weights in batches_of("--loss", "relative"):
        for low, target, weight in zip(lows, targets, weights):
            interpolated = interpolate(low, 4, "bilinear")
            assert 1 / weight == pytest.approx(rmse(interpolated, target) + 0.01, rel=1e-3)
            loss = KnownPixels("relative")(target[None], interpolated[None])
            assert float(loss) == pytest.approx(rmse(interpolated, target), rel=1e-3, abs=1e-5)


def test_the_mixture_is_for_the_network_that_is_told(drawn, tmp_path):
    command = "train --data drawn --crop 32 --steps 1 --network DJIF --low-res any".split()
    with pytest.raises(UserError, match="--low-res any is for"):
        run_program(*command, "--out", tmp_path / "run")


def test_augmentation_is_for_one_channel(monkeypatch, tmp_path):
    flow = examples_of(list(drawn_examples(1, channels=2)), 2)
    monkeypatch.setattr(data, "open_dataset", lambda args, split: flow)
    command = "train --data flow --crop 32 --steps 1 --network DJIF --augment".split()
    with pytest.raises(UserError, match="--augment is for .* one channel; these have 2"):
        run_program(*command, "--out", tmp_path / "run")


def test_a_training_of_the_learned_filter_lowers_the_error(drawn, tmp_path):
    command = (
        "train --data drawn --crop 32 --batch-size 2 --network LearnedBilateralUpsample "
        "--low-res any --loss relative --augment --schedule cosine --learning-rate 2e-3 "
        "--save-every 20 --clip-norm 1 --validation train --factor 2"
    ).split()
    for steps in (1, 60):
        run_program(*command, "--steps", steps, "--out", tmp_path / str(steps))
    errors = [
        float((tmp_path / str(steps) / "log.csv").read_text().splitlines()[-1].split(",")[-1])
        for steps in (1, 60)
    ]
    assert errors[1] < errors[0]

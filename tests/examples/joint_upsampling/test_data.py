"""Crops, batches and the loss of joint upsampling."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.joint_upsampling import __main__, augmentation, data
from examples.joint_upsampling.low_resolution import fill_unknown, low_resolution
from examples.joint_upsampling.metrics import KnownPixels
from examples.training.errors import UserError
from tests.support import memory_of_a_pipeline
from tests.support.joint_upsampling_child import drawn_examples, examples_of
from tests.support.processes import finish, start_python

COUNT = 5


def options(*arguments):
    """The arguments of a training."""
    command = ["train", "--data", "drawn", "--out", "x", "--crop", "32", "--batch-size", "2"]
    return __main__.make_parser().parse_args([*command, *map(str, arguments)])


def batches_of(*arguments, examples=None, first=0, count=5):
    """The first batches of a run, as NumPy arrays."""
    examples = examples or examples_of(list(drawn_examples(COUNT)))
    batches = data.batches(examples, options(*arguments), first)
    return list(batches.take(count).as_numpy_iterator())


def crops_of(*arguments, **how):
    """Their examples: low-res target, guide, target."""
    for (lows, guides), targets in batches_of(*arguments, **how):
        yield from zip(lows, guides, targets)


def find_crop(guide, image):
    """The corner of a crop that may be mirrored, and how it is mirrored."""
    crop = np.rint(guide * 255).astype(np.uint8)
    size = crop.shape[0]
    for axes in ((), (0,), (1,), (0, 1)):
        part = np.flip(crop, axes)
        for top, left in itertools.product(*(range(n - size + 1) for n in image.shape[:2])):
            if np.array_equal(image[top : top + size, left : left + size], part):
                return top, left, axes
    return None


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(kept_or_read_anew):
    names = [np.uint8(number) for number in range(COUNT)]
    drawn = list(drawn_examples(COUNT))
    for name, example in zip(names, drawn):
        example["image"] = np.full_like(example["image"], name)
    crops = crops_of(examples=examples_of(drawn), count=15)
    seen = [int(np.rint(guide[0, 0, 0] * 255)) for _, guide, _ in crops]
    orders = [tuple(seen[i : i + COUNT]) for i in range(0, 30, COUNT)]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert len(set(orders)) > 3


@pytest.mark.parametrize("low_res", ["center", "bilinear"])
@pytest.mark.parametrize("channels", [1, 2], ids=["depth", "flow"])
def test_crops_are_those_of_numpy(low_res, channels):
    """Every crop is found in its image; target and low-res target are computed from there."""
    drawn = list(drawn_examples(COUNT, channels=channels))
    corners, mirrors = set(), set()
    crops = crops_of("--low-res", low_res, examples=examples_of(drawn, channels), count=20)
    for low, guide, target in crops:
        found = [(example, find_crop(guide, example["image"])) for example in drawn]
        ((example, (top, left, axes)),) = [each for each in found if each[1] is not None]
        corners.add((top, left))
        mirrors.add(axes)
        filled = fill_unknown(example["target"])
        known = np.isfinite(example["target"]).all(-1, keepdims=True)
        signs = np.ones(channels, np.float32)
        if channels == 2:
            signs = np.array([-1 if 1 in axes else 1, -1 if 0 in axes else 1], np.float32)
        whole = low_resolution(filled, 4, low_res) * signs
        offset, scale = whole.min((0, 1)), np.ptp(whole, (0, 1))
        scale[scale == 0] = 1  # a flat target
        region = np.s_[top : top + 32, left : left + 32]
        expected = (np.flip(filled[region], axes) * signs - offset) / scale
        np.testing.assert_allclose(low, low_resolution(expected, 4, low_res), atol=1e-5)
        expected = np.where(np.flip(known[region], axes), expected, np.nan)
        np.testing.assert_allclose(target, expected, atol=1e-5)
    assert mirrors == {(), (0,), (1,), (0, 1)} and len(corners) > 30
    assert {top for top, _ in corners} >= {0, 16} or len({top for top, _ in corners}) > 10


def test_no_flips_and_no_jitter_unless_asked_for():
    drawn = list(drawn_examples(COUNT))

    def mirrors(*arguments):
        for _, guide, _ in crops_of(*arguments, examples=examples_of(drawn)):
            found = [find_crop(guide, example["image"]) for example in drawn]
            yield next((crop[2] for crop in found if crop is not None), "other colours")

    assert set(mirrors("--no-flips")) == {()}
    assert set(mirrors("--augment")) == {"other colours"}


def test_saturation_brightness_and_contrast_change_independently():
    """All three are found again in what became of two greys and of a colour."""
    found = []
    for number in range(64):
        seed = tf.constant([number, 0])
        dark, grey, color = (
            np.float64(augmentation.change_colors(tf.constant([[values]]), seed)[0, 0])
            for values in ([0.25] * 3, [0.5] * 3, [0.55, 0.45, 0.5])
        )
        gamma = np.log2(grey / dark)
        np.testing.assert_allclose(gamma, gamma[0], rtol=1e-4)
        gains = grey ** (1 / gamma) / 0.5
        saturations = (color ** (1 / gamma) / gains - 0.5) / [0.05, -0.05, np.inf]
        np.testing.assert_allclose(saturations[0], saturations[1], atol=1e-3)
        found.append([saturations[0], *gains, gamma[0]])
    found = np.array(found)
    limits = [augmentation.SATURATIONS, *[augmentation.GAINS] * 3, augmentation.GAMMAS]
    for values, (low, high) in zip(found.T, limits):
        assert low - 1e-3 <= values.min() < low + (high - low) / 8
        assert high + 1e-3 >= values.max() > high - (high - low) / 8
    correlations = np.corrcoef(found.T)[~np.eye(5, dtype=bool)]
    assert np.abs(correlations).max() < 0.5


@pytest.mark.parametrize("count", [COUNT, 1])
def test_the_seed_decides_the_order_and_the_crops(count):
    """An image alone has no order: what differs are its crops."""
    examples = examples_of(list(drawn_examples(count, first=1)))
    first, again, other = (list(crops_of("--seed", s, examples=examples)) for s in (1, 1, 2))
    for one, two in zip(first, again):
        for array, same in zip(one, two):
            np.testing.assert_array_equal(array, same)
    same = [np.array_equal(one[1], two[1]) for one, two in zip(first, other)]
    assert sum(same) < len(same) / 2


def test_every_crop_has_colors_of_its_own_that_the_seed_decides():
    """The image is as large as its crops: they differ in their colours alone."""
    examples = examples_of(list(drawn_examples(1, size=32)))
    jitter = "--no-flips", "--augment", "--seed"
    first, again, other = (
        [guide.tobytes() for _, guide, _ in crops_of(*jitter, seed, examples=examples)]
        for seed in (1, 1, 2)
    )
    assert first == again and len({*first, *other}) == len(first + other)


@pytest.mark.parametrize("first", [1, 3, 4])
def test_a_run_that_goes_on_sees_what_it_would_have_seen(first):
    whole = batches_of("--augment", count=7)
    for one, two in zip(whole[first:], batches_of("--augment", first=first, count=7 - first)):
        for array, same in zip(tf.nest.flatten(one), tf.nest.flatten(two)):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("count", [30, 300])
def test_memory_does_not_grow_with_the_data_set(monkeypatch, count):
    """Without a cache, few images are decoded before the first batch is there."""
    monkeypatch.setattr("examples.training.data.SHUFFLE_BYTES", 0)
    monkeypatch.setattr("examples.training.data.CACHE_BYTES", 0)
    decoded = []

    class Counting(list):
        def __iter__(self):
            for example in super().__iter__():
                decoded.append(example["name"])
                yield example

    (example,) = drawn_examples(1, first=1)
    examples = examples_of(Counting([example] * count))
    batches_of(examples=examples, count=1)
    assert len(decoded) < 30 + 16 * 4


@pytest.mark.slow
def test_a_pipeline_takes_no_more_memory_for_ten_times_the_images(tmp_path):
    """40 and 400 of 300×400 pixels, 0.6 MB each when prepared: 216 MB more if all are kept."""
    peaks = []
    for count in (40, 400):
        folder = tmp_path / str(count)
        memory_of_a_pipeline.write_pairs(folder, count)
        for batches in (0, 200):
            child = start_python("-m", "tests.support.memory_of_a_pipeline", folder, batches)
            output = finish(child)
        peaks.append(int(re.search("^peak: (.*)$", output, re.MULTILINE)[1]))
    small, large = peaks
    assert large - small < 60


def test_unknown_pixels_do_not_count_in_the_loss():
    target = np.array([[[[1.0], [np.nan]]], [[[np.nan], [np.nan]]]], np.float32)
    output = tf.constant([[[[3.0], [9.0]]], [[[9.0], [9.0]]]])
    loss = KnownPixels("l2", reduction=None)
    with tf.GradientTape() as tape:
        tape.watch(output)
        losses = loss(target, output)
    np.testing.assert_array_equal(losses, [4, 0])
    gradient = tape.gradient(losses, output)
    np.testing.assert_array_equal(tf.reshape(gradient, -1), [4, 0, 0, 0])
    assert float(KnownPixels("l1")(target, output)) == 1
    flow = np.array([[[[1.0, 2.0], [np.nan, 0.0]]]], np.float32)
    assert float(KnownPixels("l2")(flow, np.float32([[[[2, 5], [9, 9]]]]))) == (1 + 9) / 2
    again = keras.losses.deserialize(keras.losses.serialize(KnownPixels("l1")))
    assert again.kind == "l1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target": np.zeros((48, 40, 1), np.float32)},
            "scene 0: image and target must have the same size. Received: 48x48 and 48x40 pixels",
        ),
        ({"target": np.full((48, 48, 1), np.nan)}, "scene 0: every pixel .* unknown"),
    ],
)
def test_an_example_that_does_not_fit_is_named(changes, message, kept_or_read_anew):
    broken = [{**example, **changes} for example in drawn_examples(2)]
    with pytest.raises(UserError, match=message):
        list(data.arrays(examples_of(broken)))
    with pytest.raises(UserError, match=message):
        batches_of(examples=examples_of(broken))


def test_a_crop_must_fit_every_image():
    examples = [*drawn_examples(2, size=64), *drawn_examples(1, size=48, first=2)]
    with pytest.raises(UserError, match="scene 2 has 48x48 pixels, less than the crop of 64"):
        batches_of("--crop", 64, examples=examples_of(examples))

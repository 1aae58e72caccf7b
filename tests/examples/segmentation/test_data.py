"""Crops, batches and the loss of segmentation."""

import argparse

import numpy as np
import pytest
import tensorflow as tf

from examples.segmentation import data, metrics
from examples.training.data import Examples, pipeline_errors
from examples.training.errors import UserError
from tests.support.segmentation_child import examples_of


def coordinates(sizes):
    """Examples whose first two channels are the row and the column, the label is their sum."""
    drawn = []
    for number, (rows, cols) in enumerate(sizes):
        row, col = np.indices((rows, cols), dtype=np.uint8)
        image = np.stack([row, col, np.full_like(row, number)], -1)
        drawn.append({"image": image, "label": (row + col)[..., None], "name": b"%d" % number})
    return examples_of(drawn)


def options(**changes):
    wanted = {"crop": 24, "batch_size": 2, "flips": True, "seed": 0}
    return argparse.Namespace(**{**wanted, "split": "train", **changes})


def first_batches(examples, args, count, first_step=0, classes=255):
    """The first batches, as NumPy arrays."""
    examples = data.prepared(examples, args, classes)
    return list(data.batches(examples, args, first_step).take(count).as_numpy_iterator())


def crops_of(batches):
    """The (image, label) of every example of the batches."""
    return [pair for images, labels in batches for pair in zip(images, labels)]


def test_crops_and_mirror_images_of_an_image_and_its_label_are_the_same(kept_or_read_anew):
    sizes = [(40, 50), (30, 35)]
    examples, args = coordinates(sizes), options()
    corners, mirrored = set(), set()
    crops = crops_of(first_batches(examples, args, 40))
    for image, label in crops:
        flipped = bool(image[0, 0, 1] > image[0, 1, 1])
        # The same crop of the whole image, with NumPy.
        rows, cols = sizes[image[0, 0, 2]]
        whole = np.stack([*np.indices((rows, cols)), np.full((rows, cols), image[0, 0, 2])], -1)
        top, left = image[0, 0, 0], image[..., 1].min()
        assert top <= rows - 24 and left <= cols - 24
        expected = whole[top : top + 24, left : left + 24]
        expected = expected[:, ::-1] if flipped else expected
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(label, expected[..., 0] + expected[..., 1])
        corners.add((image[0, 0, 2], top, left))
        mirrored.add(flipped)
    assert len(corners) > 60 and mirrored == {False, True}
    for axis, largest in ((1, 40 - 24), (2, 50 - 24)):  # a crop may lie anywhere in its image
        places = [corner[axis] for corner in corners if corner[0] == 0]
        assert min(places) <= largest / 4 and max(places) >= largest * 3 / 4


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own():
    crops = crops_of(first_batches(coordinates([(24, 24)] * 40), options(batch_size=20), 8))
    orders = np.reshape([image[0, 0, 2] for image, _ in crops], (4, 40))
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert orders[:, :4].max() >= 20  # not only one of those that were read first


def test_the_seed_decides_the_order_the_crops_and_the_mirror_images():
    def choices(images, seed):
        """Which image, the corner of the crop, and whether it is mirrored."""
        crops = crops_of(first_batches(coordinates(images), options(seed=seed), 10))
        return [
            (i[0, 0, 2], i[0, 0, 0], i[..., 1].min(), i[0, 0, 1] > i[0, 1, 1]) for i, _ in crops
        ]

    several, one = [(40, 50)] * 5, [(40, 50)]
    assert choices(several, 3) == choices(several, 3)
    # An image alone has no order: what differs is the number alone.
    for images, parts in ((several, [0]), (one, [1]), (one, [2]), (one, [3])):
        others = [
            [tuple(choice[part] for part in parts) for choice in choices(images, seed)]
            for seed in (3, 4)
        ]
        assert others[0] != others[1]


def test_no_flips():
    crops = crops_of(first_batches(coordinates([(40, 50)] * 3), options(flips=False), 15))
    assert all(image[0, 0, 1] < image[0, 1, 1] for image, _ in crops)


@pytest.mark.parametrize("crop, size", [(32, (32, 32)), (0, (30, 50))], ids=["crop", "whole"])
def test_images_of_different_sizes_are_filled_up_with_ignored_pixels(crop, size):
    examples = coordinates([(20, 50), (30, 25)])
    ((images, labels),) = first_batches(examples, options(crop=crop, flips=False), 1)
    assert images.shape == (2, *size, 3) and labels.shape == (2, *size)
    for image, label in zip(images, labels):
        inside = label != 255
        rows, cols = inside.any(1).sum(), inside.any(0).sum()
        assert (rows, cols) in {(20, min(50, crop or 50)), (30, 25)}
        assert inside[:rows, :cols].all() and not image[~inside].any()


def test_batches_go_on_where_they_stopped():
    examples, args = coordinates([(40, 50), (30, 35), (30, 30)]), options(seed=1)
    whole = first_batches(examples, args, 5)
    rest = first_batches(examples, args, 2, first_step=3)
    for one, two in zip(whole[3:], rest, strict=True):
        for array, same in zip(one, two):
            np.testing.assert_array_equal(array, same)


def test_the_examples_of_a_large_data_set_are_not_kept_in_memory(monkeypatch):
    """As many are read before the first batch for a data set that is ten times as large."""
    monkeypatch.setattr("examples.training.data.SHUFFLE_BYTES", 2**16)
    read = []

    def open_counted(count):
        def draw():
            for number in range(count):
                read.append(number)
                image = np.full((32, 32, 3), number % 256, np.uint8)
                yield {"image": image, "label": image[..., :1] % 5, "name": b"%d" % number}

        spec = examples_of([]).dataset.element_spec
        dataset = tf.data.Dataset.from_generator(draw, output_signature=spec)
        return Examples(dataset, count, "counted")

    def read_before_the_first_batch(count):
        read.clear()
        first_batches(open_counted(count), options(), 1)
        return len(read)

    assert read_before_the_first_batch(2000) >= 2000  # so the counting counts
    monkeypatch.setattr("examples.training.data.CACHE_BYTES", 0)
    few, many = map(read_before_the_first_batch, (200, 2000))
    assert many < 200 and many < 1.5 * few


def test_a_label_beyond_the_classes_is_named(kept_or_read_anew):
    message = "1: its label has the values 9, but there are 5 classes"
    labels = [np.full((30, 30, 1), label, np.uint8) for label in (0, 9)]
    image = np.zeros((30, 30, 3), np.uint8)
    drawn = [{"image": image, "label": x, "name": b"%d" % i} for i, x in enumerate(labels)]
    with pytest.raises(UserError, match=message), pipeline_errors():
        first_batches(examples_of(drawn), options(), 1, classes=5)
    with pytest.raises(UserError, match=message):
        list(data.arrays(examples_of(drawn), 5))


def test_a_split_without_a_pixel_that_counts_is_refused(kept_or_read_anew):
    image = np.zeros((30, 30, 3), np.uint8)
    ignored = {"image": image, "label": np.full((30, 30, 1), 255, np.uint8), "name": b"a"}
    with pytest.raises(UserError, match="The split train has no pixel that counts"):
        data.prepared(examples_of([ignored] * 2), options(), 5)


def test_ignored_pixels_do_not_count_in_the_loss(rng):
    logits = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    labels = rng.integers(0, 5, (2, 3, 4)).astype(np.uint8)
    labels[0, 1:] = 255
    pixel_loss = metrics.PixelLoss()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = pixel_loss(tf.constant(labels), variable)
    counted = labels != 255
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    expected = -np.log([p[label] for p, label in zip(probabilities[counted], labels[counted])])
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    gradient = tape.gradient(loss, variable).numpy()
    np.testing.assert_array_equal(gradient.any(-1), counted)
    ignored = np.full_like(labels, 255)
    with tf.GradientTape() as tape:
        loss = pixel_loss(tf.constant(ignored), variable)
    assert float(loss) == 0 and not tape.gradient(loss, variable).numpy().any()

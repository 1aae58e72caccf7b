"""Crops, batches and the loss of segmentation."""

import numpy as np
import pytest
import tensorflow as tf

from examples.segmentation import data, train


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

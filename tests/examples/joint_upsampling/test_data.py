"""Crops, batches and the loss of joint upsampling."""

import numpy as np
import pytest
import tensorflow as tf

from examples.joint_upsampling import data, train
from examples.training.errors import UserError
from tests.support.joint_upsampling_child import drawn_examples


def sampler_of(images, crop=32, **options):
    options = {"factor": 4, "low_res": None, "flips": True, "jitter": False, "seed": 0, **options}
    return data.Sampler(images, crop=crop, **options)


@pytest.mark.parametrize("in_file", [False, True])
def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(in_file):
    images = data.read_images(data.checked(drawn_examples()), in_file)
    sampler = sampler_of(images)
    orders = [[int(i) for i in sampler.order.epoch(epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len(set(map(tuple, orders))) > 1
    for index in range(10):
        (low, guide, target), again = sampler(index), sampler_of(images)(index)
        assert (low.shape, guide.shape, target.shape) == ((8, 8, 1), (32, 32, 3), (32, 32, 1))
        for array, same in zip((low, guide, target), again):
            np.testing.assert_array_equal(array, same)
        assert np.isfinite(low).all() and np.isfinite(guide).all()
        known = np.isfinite(target[1::4, 1::4])
        np.testing.assert_array_equal(low[known], target[1::4, 1::4][known])


def test_a_mirrored_flow_points_the_other_way():
    target = np.zeros((32, 32, 2), np.float32)
    target[..., 0] = np.arange(32) / 31  # grows to the right, along the flow's direction
    target[..., 1] = np.arange(32)[:, None] / 31
    image = np.zeros((32, 32, 3), np.uint8)
    images = data.Images(["flow"], [image], [target], [None], 0)
    sampler = sampler_of(images, low_res="center")
    for index in range(16):
        _, _, flow = sampler(index)
        # In either mirror image, u still grows to the right and v downwards.
        assert (np.diff(flow[..., 0], axis=1) > 0).all() and (
            np.diff(flow[..., 1], axis=0) > 0
        ).all()


def test_workers_and_devices_share_the_examples_of_a_step():
    sampler = sampler_of(data.read_images(data.checked(drawn_examples())))

    def targets(pipelines, pipeline, replicas):
        context = tf.distribute.InputContext(pipelines, pipeline, replicas)
        batches = data.batches(sampler, 4, first_step=1, steps=3, context=context)
        return [target for _, target in batches.as_numpy_iterator()]

    alone = targets(1, 0, 1)
    assert [len(batch) for batch in alone] == [4, 4]
    on_devices = targets(1, 0, 2)
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(on_devices))
    workers = [targets(2, worker, 2) for worker in range(2)]
    for batch, *shares in zip(alone, *workers, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(shares))


def test_unknown_pixels_do_not_count_in_the_loss():
    target = np.array([[[[1.0], [np.nan]]], [[[np.nan], [np.nan]]]], np.float32)
    output = tf.constant([[[[3.0], [9.0]]], [[[9.0], [9.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(output)
        losses = train.example_losses(output, tf.constant(target), "l2")
    np.testing.assert_array_equal(losses, [4, 0])
    gradient = tape.gradient(losses, output)
    np.testing.assert_array_equal(tf.reshape(gradient, -1), [4, 0, 0, 0])


def broken_examples(**changes):
    for example in drawn_examples(2):
        yield {**example, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.zeros((48, 40, 1), np.float32)}, "scene 0: the image has 48x48 .* 48x40"),
        ({"target": np.full((48, 48, 1), np.nan)}, "scene 0: every pixel .* unknown"),
    ],
)
def test_an_example_that_does_not_fit_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        data.read_images(data.checked(broken_examples(**changes)))


def test_a_crop_must_fit_the_images_and_the_factor():
    images = data.read_images(data.checked(drawn_examples()))
    with pytest.raises(UserError, match="scene 0 has 48x48 pixels, less than the crop of 64"):
        sampler_of(images, crop=64)
    with pytest.raises(UserError, match="multiple of the factor"):
        sampler_of(images, crop=30)

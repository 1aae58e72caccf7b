"""Finding out whether a low-resolution map has samples or averages."""

import numpy as np
import pytest

import keras_pac
from examples.joint_upsampling.low_resolution import low_resolution
from examples.scenes.drawing import draw_scene
from keras_pac import models
from keras_pac.models.low_res_kind import SIDE, guess_low_res


def interpolation(first, factor):
    """Linear interpolation for samples at the pixels first + factor * i, as a `predict`."""

    def along_rows(low, size):
        samples = first + factor * np.arange(low.shape[1])
        return np.stack([np.interp(np.arange(size), samples, row) for row in low])

    def predict(low, image, low_res):
        rows, cols = image.shape[:2]
        return along_rows(along_rows(low, cols).T, rows).T

    return predict


def edges(size, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*size, channels))


@pytest.mark.parametrize("size", [(12, 9), (70, 90)])
@pytest.mark.parametrize("factor", [4, 8])
def test_what_agrees_when_turned(size, factor):
    low, image = edges(size), np.zeros((factor * size[0], factor * size[1], 3))
    before_middle, middle = factor // 2 - 1, (factor - 1) / 2
    for first, expected in ((before_middle, "center"), (middle, "average")):
        assert guess_low_res(interpolation(first, factor), low, image, factor) == expected


@pytest.mark.parametrize("low", [np.zeros((20, 20, 1)), edges((7, 20)), edges((20, 7))])
def test_it_is_not_clear(low):
    """A flat map, and small ones."""
    image = np.zeros((4 * low.shape[0], 4 * low.shape[1], 3))
    assert guess_low_res(interpolation(1, 4), low, image, 4) == "any"


def test_the_part_with_the_edges_is_looked_at():
    low, seen = np.zeros((200, 300, 2)), []
    low[90:110, 250:270, 1] = edges((20, 20))[..., 0]

    def predict(part, image, low_res):
        seen.append((part, image))
        return interpolation(1, 4)(part, image, low_res)

    image = np.broadcast_to(np.arange(1200.0)[None, :, None], (800, 1200, 3))
    assert guess_low_res(predict, low, image, 4) == "center"
    part, image = seen[0]
    assert part.shape == (SIDE // 4, SIDE // 4) and image.shape == (SIDE, SIDE, 3)
    np.testing.assert_array_equal(part[part > 0], low[low > 0])
    np.testing.assert_array_equal(np.nonzero(part)[1] + image[0, 0, 0] / 4, np.nonzero(low)[1])


@pytest.mark.parametrize("how, kind", [("center", "center"), ("pillow", "average")])
@pytest.mark.parametrize("factor", [4, 8])
def test_upsample_finds_it_out(factor, how, kind):
    for seed in range(3):
        image, disparity = draw_scene(np.random.default_rng(6_000_000 + seed), 256)
        low = low_resolution(disparity[..., None], factor, how)
        found = keras_pac.upsample(low, image)
        np.testing.assert_array_equal(found, keras_pac.upsample(low, image, kind))


def test_unknown_pixels_are_not_guessed_from():
    """They lie along edges, and what they are filled with hides where those are."""
    image, disparity = draw_scene(np.random.default_rng(6_000_000), 256)
    low = low_resolution(disparity, 4)
    low[0, 0] = np.nan
    # The same network, given from outside: for it nothing is guessed.
    network = models.LearnedBilateralUpsample(4, weights="scenes")
    found = keras_pac.upsample(low, image)
    np.testing.assert_array_equal(found, keras_pac.upsample(low, image, weights=network))

"""Unknown pixels of a map are filled from known ones that are near and of the same colour."""

import numpy as np
import pytest

import keras_pac
from examples.joint_upsampling.low_resolution import fill_unknown as nearest
from examples.joint_upsampling.low_resolution import low_resolution
from examples.scenes.drawing import draw_scene
from keras_pac.models.fill_unknown import COARSER, COLOR, DISTANCE, fill_unknown

GREY = np.full((124, 160, 1), 0.5)


def test_holes_are_filled_from_around_them():
    rng = np.random.default_rng(0)
    target = np.where(np.arange(40) < 20, 2.0, 9.0) * np.ones((31, 1))
    target = target.astype("float32")  # as in upsample; the means are computed in float64
    for hole in (np.s_[4:9, 3:12], np.s_[:, :5], np.s_[5:, 22:39], rng.random((31, 40)) < 0.9):
        known = np.ones((31, 40, 1), bool)
        known[hole] = False
        target_known = np.where(known, target[..., None], np.nan)
        filled = fill_unknown(target_known, known, GREY, 4)
        np.testing.assert_array_equal(filled[known], target_known[known])
        assert filled.min() >= 2 and filled.max() <= 9
        if not isinstance(hole, np.ndarray):
            inside = filled[hole][..., 0]
            around = np.broadcast_to(target, (31, 40))[hole]
            assert np.abs(inside - around).mean() < 1.0, hole


def test_a_single_pixel_is_the_mean_of_its_neighbours():
    """Weighted by distance and colour, and a little of the means of the cells of 2x2 around it."""
    rng = np.random.default_rng(0)
    target, colors = rng.uniform(0, 1, (8, 8, 1)), rng.uniform(0.4, 0.6, (8, 8, 3))
    known = np.ones((8, 8, 1), bool)
    known[4, 4] = False
    rows, cols = np.indices((3, 3)) - 1
    difference = ((colors[3:6, 3:6] - colors[4, 4]) ** 2).mean(2) / COLOR**2
    weights = known[3:6, 3:6, 0] * np.exp(-((rows**2 + cols**2) / DISTANCE**2 + difference) / 2)
    cells = [
        target[4:6, 4:6][known[4:6, 4:6]],
        target[4:6, 2:4],
        target[2:4, 4:6],
        target[2:4, 2:4],
    ]
    coarser = np.dot([9, 3, 3, 1], [cell.mean() for cell in cells]) / 16
    values = np.append(target[3:6, 3:6], coarser)
    expected = np.average(values, weights=np.append(weights, COARSER))
    found = fill_unknown(target, known, colors.repeat(2, 0).repeat(2, 1), 2)
    np.testing.assert_allclose(found[4, 4, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("unknown", [9, 10])
def test_a_pixel_at_an_edge_is_filled_from_the_side_whose_colour_it_has(unknown):
    target = np.where(np.arange(20) < 10, 2.0, 9.0) * np.ones((16, 1))
    image = np.where(np.arange(80) < 40, 90, 140).astype("uint8") * np.ones((64, 1), "uint8")
    known = np.ones((16, 20, 1), bool)
    known[:, unknown] = False
    filled = fill_unknown(target[..., None], known, image[..., None], 4)
    np.testing.assert_allclose(filled[..., 0], target, atol=0.1)


@pytest.mark.parametrize("side", [-1, 1])
def test_scenes_without_pixels_on_one_side_of_the_edges(side):
    """As those of stereo and of depth cameras; nearest neighbours would widen objects."""
    ours, nearest_error = [], []
    for seed in range(3):
        image, truth = draw_scene(np.random.default_rng(7_000_000 + seed), 256)
        truth = truth[..., None]
        low = low_resolution(truth, 4).copy()
        step = low - local_mean(low)
        lost = side * step > np.quantile(side * step, 0.9)
        low[lost] = np.nan
        result = keras_pac.upsample(low, image, "center")
        ours.append(np.std(result - truth))
        result = keras_pac.upsample(nearest(low), image, "center")
        nearest_error.append(np.std(result - truth))
    assert np.mean(ours) < 0.9 * np.mean(nearest_error)


def local_mean(values):
    """Means over 3x3 pixels."""
    padded = np.pad(values, [(1, 1), (1, 1), (0, 0)], mode="edge")
    rows, cols = values.shape[:2]
    return sum(padded[i : i + rows, j : j + cols] for i, j in np.ndindex(3, 3)) / 9

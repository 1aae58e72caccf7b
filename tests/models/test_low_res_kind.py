"""Finding out whether a low-resolution map has samples or averages, and using it."""

import numpy as np
import pytest
from PIL import Image

import keras_pac
from examples.joint_upsampling.low_resolution import low_resolution
from examples.scenes.drawing import draw_scene
from keras_pac import models
from keras_pac.models.low_res_kind import SIDE, add_enlarged, guess_low_res, missing, reduced

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
# Made from one sample of each cell, or as an average.
MADE = [("center", "center"), ("pillow", "average"), ("area", "average")]


def scene(factor, seed=0, size=256):
    image, disparity = draw_scene(np.random.default_rng(6_000_000 + seed), size)
    return image, disparity[: size // factor * factor, : size // factor * factor, None]


@pytest.mark.parametrize("factor", [4, 8, 16])
@pytest.mark.parametrize("how, kind", MADE)
def test_a_good_result_tells_how_the_map_was_made(factor, how, kind):
    image, disparity = scene(factor)
    low = low_resolution(disparity, factor, how)

    def predict(low, image, low_res):
        return disparity[..., 0]

    assert guess_low_res(predict, low, image, factor) == kind


@pytest.mark.parametrize(
    "low", [np.zeros((20, 20, 1)), np.eye(7, 20)[..., None], np.eye(20, 7)[..., None]]
)
def test_it_is_not_clear(low):
    """A flat map, and small ones."""
    image = np.zeros((4 * low.shape[0], 4 * low.shape[1], 3))

    def predict(low, image, low_res):
        return low.repeat(4, 0).repeat(4, 1)

    assert guess_low_res(predict, low, image, 4) == "any"


def test_the_part_with_the_edges_is_looked_at():
    low, seen = np.zeros((200, 300, 2)), []
    low[90:110, 250:270, 1] = np.random.default_rng(0).uniform(0, 1, (20, 20))

    def predict(part, image, low_res):
        seen.append((part, image))
        return np.kron(part, [[0, 0, 0, 9], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])

    image = np.broadcast_to(np.arange(1200.0)[None, :, None], (800, 1200, 3))
    assert guess_low_res(predict, low, image, 4) == "center"
    ((part, image),) = seen
    assert part.shape == (SIDE // 4, SIDE // 4) and image.shape == (SIDE, SIDE, 3)
    np.testing.assert_array_equal(part[part > 0], low[low > 0])
    np.testing.assert_array_equal(np.nonzero(part)[1] + image[0, 0, 0] / 4, np.nonzero(low)[1])


@pytest.mark.parametrize(
    "factor, how, kind",
    [*((factor, "center", "center") for factor in (4, 8, 16)), (8, "pillow", "average")],
)
def test_upsample_finds_it_out(factor, how, kind):
    for seed in range(3):
        image, disparity = scene(factor, seed)
        low = low_resolution(disparity, factor, how)
        found = keras_pac.upsample(low, image)
        np.testing.assert_array_equal(found, keras_pac.upsample(low, image, kind))


@pytest.mark.parametrize("how, kind", MADE)
def test_the_result_of_any_network_is_corrected(how, kind):
    image, disparity = scene(4)
    low = low_resolution(disparity, 4, how)
    network = models.JointBilateralUpsample(4, 13, 0.3, 6.0)
    results = [keras_pac.upsample(low, image, told, network) for told in ("any", kind)]
    any, told = (np.std(low - low_resolution(result, 4, how)) for result in results)
    assert told < 0.5 * any
    any, told = (np.std(disparity - result) for result in results)
    assert told < any


def test_unknown_pixels_are_not_guessed_from():
    """They lie along edges, and a mean of the known pixels of a cell looks like a sample there."""
    image, disparity = scene(4)
    low = low_resolution(disparity, 4)
    low[0, 0] = np.nan
    # The same network, given from outside: for it nothing is guessed.
    network = models.LearnedBilateralUpsample(4, weights="scenes")
    found = keras_pac.upsample(low, image)
    np.testing.assert_array_equal(found, keras_pac.upsample(low, image, weights=network))


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_a_result_is_reduced_as_low_resolution_maps_are_made(factor):
    values = np.random.default_rng(0).uniform(0, 1, (7 * factor, 9 * factor, 2)).astype("float32")
    sampled = reduced(values, factor, "center")
    np.testing.assert_array_equal(sampled, low_resolution(values, factor, "center"))

    # Along an axis in which nothing happens, there is one way only.
    rows = np.broadcast_to(values[:, :1], values.shape)
    both = [low_resolution(rows, factor, how) for how in ("pillow", "area")]
    inside = slice(2, -2)  # at borders Pillow takes fewer pixels
    for axis in (0, 1):
        turned, expected = (np.swapaxes(x, 0, axis) for x in (rows, np.mean(both, 0)))
        found = reduced(turned, factor, "average")
        np.testing.assert_allclose(found[inside, inside], expected[inside, inside], atol=1e-6)


def corrected(result, low, factor, kind, block=1000, known=True):
    result = np.array(result, np.float32)
    rest = missing(result, low, np.broadcast_to(known, low.shape), factor, kind, block)
    add_enlarged(result, rest, factor, kind, block)
    return result


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_samples_are_taken_over(factor):
    low = np.zeros((12, 10, 2), np.float32)
    low[3:6, 2:4], low[8, 8, 1] = 1, -2
    result = corrected(np.zeros((12 * factor, 10 * factor, 2)), low, factor, "center")
    first = factor // 2 - 1
    np.testing.assert_allclose(result[first::factor, first::factor], low, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_averages_are_enlarged_as_pillow_does(factor):
    low = np.zeros((16, 20, 1), np.float32)
    low[6:9, 8:10] = 1
    result = corrected(np.zeros((16 * factor, 20 * factor, 1)), low, factor, "average")
    size = 20 * factor, 16 * factor
    expected = np.asarray(Image.fromarray(low[..., 0]).resize(size, BICUBIC))
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("how, kind", MADE)
def test_interpolation_comes_nearer_to_the_map_and_to_the_truth(how, kind):
    truth = scene(4)[1]
    low = low_resolution(truth, 4, how)
    before = np.array(Image.fromarray(low[..., 0]).resize((256, 256), BILINEAR))[..., None]
    after = corrected(before, low, 4, kind)
    to_map = [np.std(low - low_resolution(x, 4, how)) for x in (before, after)]
    to_truth = [np.std(x - truth) for x in (before, after)]
    assert to_map[1] < 0.6 * to_map[0] and to_truth[1] < to_truth[0]


@pytest.mark.parametrize("kind", ["center", "average"])
def test_few_rows_at_a_time_and_the_pixels_that_are_known(kind):
    rng = np.random.default_rng(0)
    low = rng.standard_normal((11, 9, 2)).astype("float32") ** 3
    result = rng.standard_normal((44, 36, 2))
    known = rng.random(low.shape) < 0.7
    at_once = corrected(result, low, 4, kind, known=known)
    assert np.abs(at_once - result).max() > 0.1
    few = corrected(result, np.where(known, low, 99), 4, kind, block=5, known=known)
    np.testing.assert_allclose(few, at_once, atol=1e-6)


def test_how_much_of_a_difference_counts():
    """Among differences of +1 and -1, one of 10."""
    noise = np.where(np.indices((9, 9)).sum(0)[..., None] % 2, 1.0, -1.0)
    noise[4, 4] = 10
    found = missing(np.zeros((36, 36, 1)), noise, np.ones(noise.shape, bool), 4, "center", 99)
    deviation = 1.4826  # of a normal distribution whose half is within 1
    expected = np.zeros((9, 9, 1))
    expected[4, 4] = 10 * (1 - deviation**2 / 10**2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["center", "average"])
def test_noise_is_not_followed(kind):
    noise = np.random.default_rng(0).standard_normal((60, 80, 1)).astype("float32")
    large = Image.fromarray(noise[..., 0]).resize((320, 240), BICUBIC)
    result = corrected(np.zeros((240, 320, 1)), noise, 4, kind)
    assert np.std(result) < 0.6 * np.std(large)
    object = noise + 20 * (np.abs(np.arange(80) - 40) < 3)[:, None]
    result = corrected(np.zeros((240, 320, 1)), object, 4, kind)
    assert abs(result[:, 156:166].mean() - 20) < 1

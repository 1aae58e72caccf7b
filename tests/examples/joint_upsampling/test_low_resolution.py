"""Low-res images, and the errors of what is made of them."""

import argparse

import numpy as np
import pytest
from PIL import Image

from examples.joint_upsampling import evaluate, low_resolution, metrics
from examples.training.errors import UserError
from tests.support.paths import REFERENCE


@pytest.fixture(scope="module")
def reference():
    return np.load(REFERENCE / "lowres_and_metrics.npz")


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("how", low_resolution.LOW_RES)
def test_low_resolution(reference, how, factor):
    low = low_resolution.low_resolution(reference["image"][..., None], factor, how)
    np.testing.assert_allclose(low[..., 0], reference[f"{how}_x{factor}"], atol=1e-12)


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_bicubic_by_pillow(factor, rng):
    image = rng.uniform(-3, 200, (64, 96)).astype(np.float32)
    size = (96 // factor, 64 // factor)
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    low = low_resolution.low_resolution(image[..., None], factor, "pillow")
    np.testing.assert_allclose(low[..., 0], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 16])
def test_area_is_the_mean_of_each_cell(factor, rng):
    image = rng.uniform(-3, 200, (32, 48, 2)).astype(np.float32)
    expected = image.reshape(32 // factor, factor, 48 // factor, factor, 2).mean((1, 3))
    low = low_resolution.low_resolution(image, factor, "area")
    np.testing.assert_allclose(low, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("metric", ["rmse", "epe"])
def test_metrics(reference, metric):
    pairs = zip(*(np.moveaxis(reference[name], 1, -1) for name in ("pred", "gt")))
    errors = [getattr(metrics, metric)(*pair) for pair in pairs]
    np.testing.assert_allclose(np.mean(errors), reference[metric], rtol=1e-12)


def test_epe_leaves_out_unknown_flow():
    truth = np.array([[[0.0, 0.0], [1e9, 1e9], [np.nan, 0.0]]])
    assert metrics.epe(np.array([[[3.0, 4.0]] * 3]), truth) == 5


@pytest.mark.parametrize("metric", [metrics.RootMeanSquaredError, metrics.EndPointError])
def test_images_without_a_known_pixel_do_not_count_in_the_mean(metric):
    metric, truth = metric(), np.zeros((3, 2, 2, 2), np.float32)
    truth[1] = np.nan
    metric.update_state(truth[:2], np.full((2, 2, 2, 2), 3, np.float32))
    metric.update_state(truth[2:], np.full((1, 2, 2, 2), 1, np.float32))
    assert float(metric.result()) == pytest.approx(np.sqrt(2) * (3 + 1) / 2)


def test_the_border_is_left_out():
    truth = np.zeros((6, 6, 1), np.float32)
    result = np.full_like(truth, 100)
    result[2:-2, 2:-2] = 3
    assert evaluate.error("rmse", result, truth, border=2) == 3
    example = {"name": "one", "target": truth}
    evaluate.check_truth(example, border=2)
    with pytest.raises(UserError, match="one: no pixel .* border of 3"):
        evaluate.check_truth(example, border=3)


def test_a_size_that_the_factor_does_not_divide_is_padded_and_cropped_back():
    target = np.arange(7 * 9, dtype=np.float32).reshape(7, 9, 1)
    example = {"image": np.zeros((7, 9, 3), np.uint8), "target": target}
    seen = []

    def method(low, guide):
        seen.append((low, guide))
        return np.ones((8, 12, 1))

    result = evaluate.apply(method, example, argparse.Namespace(factor=4, low_res=None))
    ((low, guide),) = seen
    assert guide.shape == (8, 12, 3) and result.shape == (7, 9, 1)
    np.testing.assert_array_equal(low[..., 0], target[[1, 5]][:, [1, 5, 8], 0])

"""Low-res images, and the errors of what is made of them."""

import argparse

import numpy as np
import pytest
from PIL import Image

from examples.joint_upsampling import evaluate, low_resolution, metrics
from examples.joint_upsampling.methods import upsample
from examples.training.errors import UserError
from keras_pac.models import DJIF, JointBilateralUpsample, PacJointUpsample, PacJointUpsampleLite
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


@pytest.mark.parametrize(
    "network",
    [
        lambda: PacJointUpsample(2),
        lambda: PacJointUpsample(4),
        lambda: PacJointUpsampleLite(8),
        lambda: PacJointUpsampleLite(16),
        lambda: DJIF(1),
        lambda: DJIF(4),
        lambda: JointBilateralUpsample(4, 13, 0.3, 6.0),
    ],
    ids=["pac_x2", "pac_x4", "lite_x8", "lite_x16", "djif_x1", "djif_x4", "bilateral_x4"],
)
def test_pieces_give_the_same_result_as_the_whole_image(network, rng):
    network = network()
    factor = network.factor
    low = rng.uniform(2, 9, (26, 33, 1)).astype(np.float32)
    guide = rng.integers(0, 256, (26 * factor, 33 * factor, 3), np.uint8)
    whole, pieces = (upsample(network, low, guide, tile) for tile in (None, 7))
    np.testing.assert_allclose(pieces, whole, atol=2e-5 * np.abs(whole).max())


def test_a_network_of_unknown_reach_gets_the_whole_image(rng):
    low = rng.uniform(2, 9, (6, 8, 1)).astype(np.float32)
    sizes = []

    def network(inputs, training):
        sizes.append([tensor.shape[1:3] for tensor in inputs])
        return np.repeat(np.repeat(inputs[0], 2, axis=1), 2, axis=2)

    result = upsample(network, low, np.zeros((12, 16, 3), np.uint8), tile=3)
    assert sizes == [[(6, 8), (12, 16)]]
    np.testing.assert_allclose(result[::2, ::2], low, rtol=1e-6)

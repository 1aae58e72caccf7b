"""The demo's data and measurements. `reference/evaluation.npz` is from the paper's protocol."""

import argparse
import functools
import sys

import keras
import numpy as np
import pytest

import keras_pac
from examples.datasets import pac_scenes
from examples.demo import check_saved_model
from examples.demo.__main__ import tune_joint_bilateral
from examples.demo.motorcycle import load_motorcycle
from examples.joint_upsampling import data, evaluate
from examples.joint_upsampling.initial_weights import start_as_interpolation
from examples.joint_upsampling.low_resolution import fill_unknown, sample_centers
from examples.joint_upsampling.metrics import rmse
from examples.scenes.drawing import draw_scene
from keras_pac import upsample
from keras_pac.models import JointBilateralUpsample, PacJointUpsampleLite
from tests.support.joint_upsampling_child import drawn_examples, examples_of
from tests.support.paths import REFERENCE


@pytest.fixture(scope="module")
def reference():
    return np.load(REFERENCE / "evaluation.npz")


@pytest.mark.parametrize("factor", [4, 8])
def test_low_resolution_samples_the_centers_of_cells(reference, factor):
    low = sample_centers(reference["image"], factor)
    np.testing.assert_array_equal(low, reference[f"center_x{factor}"])


def test_rmse(reference):
    pairs = zip(reference["pred"], reference["truth"], strict=True)
    mean = np.mean([rmse(prediction, truth) for prediction, truth in pairs])
    np.testing.assert_allclose(mean, reference["rmse"], rtol=1e-12)


def test_rmse_leaves_out_unknown_pixels():
    truth = np.array([[[1.0], [np.nan]], [[2.0], [np.inf]]])
    prediction = np.array([[[4.0], [100.0]], [[6.0], [np.nan]]])
    assert rmse(prediction, truth) == pytest.approx(np.sqrt((9 + 16) / 2))


def test_bilinear_interpolation(reference):
    results = [evaluate.interpolate(low, 4, "bilinear") for low in reference["target_low"]]
    np.testing.assert_allclose(results, reference["bilinear_x4"], atol=1e-6)


def test_unknown_disparity_gets_the_nearest_known_value():
    disparity = np.array([[1.0, np.nan, np.nan, np.nan, 5.0]])[..., None]
    assert fill_unknown(disparity)[0, [0, 1, 3, 4], 0].tolist() == [1, 1, 5, 5]


def test_the_best_joint_bilateral_filter_is_taken():
    args = argparse.Namespace(factor=4, low_res=None, border=2, tile=0, tell_low_res=False)
    scenes = examples_of(list(drawn_examples(2, size=32, first=1)))

    def error(model):
        results = [
            evaluate.apply(functools.partial(upsample, weights=model), example, args)
            for example in data.arrays(scenes)
        ]
        truths = [example["target"] for example in data.arrays(scenes)]
        return np.mean([rmse(r[2:-2, 2:-2], t[2:-2, 2:-2]) for r, t in zip(results, truths)])

    best = error(tune_joint_bilateral(scenes, args))
    for size in (9, 13):
        for space, color in ((0.3, 12.0), (0.45, 6.0), (0.6, 3.0)):
            assert best <= error(JointBilateralUpsample(4, size, space, color)) + 1e-6


def test_an_export_that_computes_something_else_is_refused(tmp_path, monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "keras_pac", keras_pac)  # it comes back after the test
    target_low, guide = keras.Input((None, None, 1)), keras.Input((None, None, 3))
    keras.Model(
        [target_low, guide], keras.layers.UpSampling2D(4)(target_low) + 0 * guide[..., :1]
    ).export(tmp_path / "model", verbose=False)
    low = rng.uniform(size=(1, 2, 3, 1)).astype(np.float32)
    arrays = {"target_low": low, "guide": np.zeros((1, 8, 12, 3), np.float32)}
    expected = low.repeat(4, 1).repeat(4, 2)
    np.savez(tmp_path / "right.npz", **arrays, expected=expected)
    check_saved_model.main(tmp_path / "model", tmp_path / "right.npz")
    for name, difference in (("wrong", 1e-3), ("nan", np.nan)):
        np.savez(tmp_path / f"{name}.npz", **arrays, expected=expected + difference)
        with pytest.raises(SystemExit, match="computes something else"):
            check_saved_model.main(tmp_path / "model", tmp_path / f"{name}.npz")


def test_the_motorcycle_fits_the_factor():
    image, disparity = load_motorcycle(4)
    assert image.shape == (500, 740, 3)
    assert disparity.shape == (500, 740, 1)
    unknown = np.isnan(disparity).mean()
    assert 0.05 < unknown < 0.1
    assert np.isfinite(fill_unknown(disparity)).all()


def test_a_scene_is_drawn_the_same_way_every_time():
    first, again, other = (draw_scene(np.random.default_rng(seed), 64) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_scenes_have_color_edges_without_depth_edges_and_the_opposite():
    depth_edges, edges_of_color_only, edges_of_depth_only = 0, 0, 0
    for seed in range(8):
        image, disparity = draw_scene(np.random.default_rng(seed), 96)
        depth_step = np.abs(np.diff(disparity, axis=1)) > 2
        color_step = np.abs(np.diff(image.astype(int), axis=1)).sum(-1)
        # Blur moves a colour edge by up to two pixels from the depth edge it belongs to.
        near = np.lib.stride_tricks.sliding_window_view
        color_near = near(np.pad(color_step, ((0, 0), (2, 2))), 5, axis=1).max(-1)
        depth_near = near(np.pad(depth_step, ((0, 0), (2, 2))), 5, axis=1).max(-1)
        depth_edges += depth_step.sum()
        edges_of_color_only += ((color_step > 60) & ~depth_near).sum()
        edges_of_depth_only += (depth_step & (color_near < 30)).sum()
    assert depth_edges > 1000
    assert edges_of_color_only > depth_edges / 2
    assert edges_of_depth_only > depth_edges / 100


def test_the_data_set_has_what_its_builder_says(tmp_path, monkeypatch):
    monkeypatch.setattr(pac_scenes.PacScenes, "SCENES", {"train": 3, "validation": 2})
    builder = pac_scenes.PacScenes(data_dir=tmp_path)
    builder.download_and_prepare()
    scenes = builder.as_dataset()
    assert {split: len(scenes[split]) for split in scenes} == {"train": 3, "validation": 2}
    scene = next(scenes["train"].as_numpy_iterator())
    assert scene["image"].shape == (192, 192, 3) and scene["image"].dtype == np.uint8
    assert scene["target"].shape == (192, 192, 1) and scene["target"].dtype == np.float32


def test_training_starts_near_interpolation_with_a_guide_that_matters():
    keras.utils.set_random_seed(0)
    network = PacJointUpsampleLite(4)
    start_as_interpolation(network)
    image, disparity = draw_scene(np.random.default_rng(0), 112)
    target = disparity[..., None]
    low = sample_centers(target, 4)
    guided, flat = (upsample(low, g, weights=network) for g in (image, 0 * image))
    scale = low.max() - low.min()
    assert rmse(guided, target) < 0.3 * scale
    assert np.abs(guided - flat).mean() > 0.02 * scale

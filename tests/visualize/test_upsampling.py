"""The panels of `upsampling`: against bilinear interpolation by hand, and `keras_pac.upsample`."""

import keras
import numpy as np
import pytest

import keras_pac
from keras_pac import visualize
from tests.support.errors import refused

IMAGE = np.random.default_rng(1).integers(0, 256, (15, 16, 3), np.uint8)


def drawn(figure):
    """{title: the numbers drawn}."""
    axes = [each for each in figure.axes if each.images and each.get_title()]
    return {each.get_title(): each.images[0].get_array() for each in axes}


def bilinear_by_hand(low, factor, size):
    """By half-pixel centres, its border repeated."""
    rows, columns = ((np.arange(n) + 0.5) / factor - 0.5 for n in size)
    low = np.stack([np.interp(columns, range(len(row)), row) for row in low])
    return np.stack([np.interp(rows, range(len(column)), column) for column in low.T], axis=1)


def test_the_panels(rng):
    low = 1000 + rng.random((4, 4))
    panels = drawn(visualize.upsampling(low, IMAGE))
    assert list(panels) == ["picture", "target (4x4)", "bilinear", "result", "result - bilinear"]
    np.testing.assert_array_equal(panels["picture"], IMAGE)
    np.testing.assert_array_equal(panels["target (4x4)"], low)
    bilinear = bilinear_by_hand(low, 4, (15, 16))
    np.testing.assert_allclose(panels["bilinear"], bilinear, rtol=0, atol=1e-6)
    result = keras_pac.upsample(low, IMAGE)
    np.testing.assert_array_equal(panels["result"], result)
    np.testing.assert_allclose(panels["result - bilinear"], result - bilinear, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "int16", "bfloat16"])
def test_targets_of_other_types(dtype):
    low = keras.ops.convert_to_tensor(np.eye(4), dtype)  # NumPy has no bfloat16 of its own
    panels = drawn(visualize.upsampling(keras.ops.convert_to_numpy(low), IMAGE))
    np.testing.assert_array_equal(panels["target (4x4)"], np.eye(4))
    np.testing.assert_array_equal(panels["result"], keras_pac.upsample(np.eye(4), IMAGE))


def test_with_a_truth_the_errors_are_drawn(rng):
    low, result, truth = rng.random((5, 4)), rng.random((15, 11, 1)), rng.random((15, 11))
    truth[3, 4] = np.nan
    panels = drawn(visualize.upsampling(low, IMAGE[:, :11], result, truth))
    known = np.isfinite(truth)
    errors = {
        "bilinear": bilinear_by_hand(low, 3, (15, 11)) - truth,
        "result": result[..., 0] - truth,
    }
    np.testing.assert_array_equal(panels["truth"].filled(np.nan), truth)
    for name, error in errors.items():
        rmse = np.sqrt((error[known] ** 2).mean())
        panel = panels[f"|{name} - truth|, RMSE {rmse:.3g}"]
        np.testing.assert_allclose(panel.filled(np.nan), np.abs(error), atol=1e-6)


def test_unknown_pixels_are_blank_in_the_target_and_filled_for_bilinear():
    low = np.full((4, 4), 2.0)
    low[:, 2:] = 5.0
    low[1, 0] = np.nan
    masked = np.ma.masked_array(np.nan_to_num(low, nan=-99), np.isnan(low))
    for target in (low, masked):
        figure = visualize.upsampling(target, IMAGE)
        panels = drawn(figure)
        np.testing.assert_array_equal(panels["target (4x4)"].mask, np.isnan(low))
        assert panels["bilinear"].min() >= 2.0 and panels["result"].min() > 1.5
        assert figure.axes[1].images[0].get_clim()[1] >= 5.0


def test_unknown_pixels_of_a_result_are_blank(rng):
    result = rng.random((15, 16))
    result[2, 3] = np.inf
    panels = drawn(visualize.upsampling(np.ones((4, 4)), IMAGE, result))
    for title in ("result", "result - bilinear"):
        mask = np.zeros((15, 16), bool)
        mask[2, 3] = True
        np.testing.assert_array_equal(panels[title].mask, mask)


def test_the_colours_of_a_change_are_symmetric(rng):
    figure = visualize.upsampling(rng.random((4, 4)), IMAGE, result=rng.random((15, 16)))
    axes = next(each for each in figure.axes if each.get_title() == "result - bilinear")
    low, high = axes.images[0].get_clim()
    change = np.abs(np.asarray(axes.images[0].get_array()))
    assert low == -high and high == pytest.approx(np.quantile(change, 0.99))


def test_a_flat_target_is_drawn():
    figure = visualize.upsampling(np.zeros((4, 4)), IMAGE, np.zeros((15, 16)), np.zeros((15, 16)))
    figure.canvas.draw()
    assert "|result - truth|, RMSE 0" in drawn(figure)


L, Y = np.zeros((4, 4)), np.zeros((15, 16))
WRONG = {
    "several channels": ((np.zeros((4, 4, 2)), IMAGE), "give one", "(4, 4, 2)"),
    "empty": ((L[:0], IMAGE), "not empty", "(0, 4)"),
    "complex": ((L + 1j, IMAGE), "real type", "complex128"),
    "no factor": ((L[2:], IMAGE), "a whole factor", "2x4 and an image of 15x16"),
    "a larger target": ((np.zeros((30, 32)), IMAGE), "a whole factor", "30x32"),
    "another image": ((L, IMAGE[..., :2]), "grey or RGB", "(15, 16, 2)"),
    "another result": ((L, IMAGE, Y[1:]), "`result` must have the height", "(14, 16)"),
    "another truth": ((L, IMAGE, Y, L), "`truth` must have the height", "(4, 4)"),
    "nothing known": ((L * np.nan, IMAGE, Y), "known pixel", "1 of 1"),
    "a factor of 3": ((np.zeros((5, 6)), IMAGE), "2 or 4 or 8 or 16", "5x6"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    arguments, rule, received = WRONG[name]
    with refused(rule, received):
        visualize.upsampling(*arguments)

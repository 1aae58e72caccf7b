"""Features as colours: against the singular value decomposition."""

import keras
import numpy as np
import pytest

from keras_pac import visualize
from keras_pac.visualize._colors import feature_colors
from tests.support.errors import refused


def colors_of(features, image=None):
    """(the colours drawn, their title)."""
    axes = visualize.features(features, image).axes[-1]
    return np.asarray(axes.images[0].get_array()), axes.get_title()


def by_svd(features):
    """(colours, share of the variance) of features (H, W, G)."""
    x = features.reshape(-1, features.shape[-1]).astype("float64")
    x = x - x.mean(0)
    _, scales, directions = np.linalg.svd(x, full_matrices=False)
    colors = []
    for direction in directions[:3]:
        component = x @ (direction * np.sign(direction[np.abs(direction).argmax()]))
        low, high = np.percentile(component, [1, 99])
        colors.append(np.clip((component - low) / (high - low), 0, 1))
    share = (scales[:3] ** 2).sum() / (scales**2).sum()
    return np.stack(colors, -1).reshape(*features.shape[:2], -1), share


@pytest.mark.parametrize("channels", [3, 8])
def test_three_components(channels, rng):
    features = rng.normal(size=(2, 12, 16, channels)) * np.arange(1, channels + 1)
    features = features.astype("float32") + 7
    colors, title = colors_of(features)
    expected, share = by_svd(features[0])
    np.testing.assert_allclose(colors, expected, atol=1e-5)
    assert title == f"features: {share:.0%} of the variance"
    again, _ = colors_of(keras.ops.convert_to_tensor(-features[0]))  # other features, any signs
    np.testing.assert_allclose(again, colors_of(-features[0])[0], atol=1e-6)


def test_two_channels_leave_blue_out(rng):
    features = rng.normal(size=(12, 16, 2)) * [3, 1]
    colors, title = colors_of(features)
    np.testing.assert_allclose(colors[..., :2], by_svd(features)[0], atol=1e-5)
    assert (colors[..., 2] == 0.5).all() and "100%" in title


def test_a_single_component_is_grey(rng):
    one = rng.normal(size=(12, 16, 1))
    expected = by_svd(one)[0]
    for features in (one, one * [0.0, 2.0, 4.0, -1.0]):  # their rounding is not drawn
        colors, _ = colors_of(features)
        np.testing.assert_allclose(colors, np.repeat(expected, 3, -1), atol=1e-5)


def test_a_rare_difference_is_drawn():
    features = np.zeros((12, 16, 2))
    features[3, 4, 1] = 1
    expected = np.zeros((12, 16))
    expected[3, 4] = 1
    np.testing.assert_array_equal(colors_of(features)[0][..., 0], expected)


def test_the_size_of_features_does_not_count(rng):
    features = rng.normal(size=(12, 16, 8))
    (small, _), (large, _) = (feature_colors(features * size) for size in (1.0, 1e300))
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_constant_features_are_grey():
    assert (colors_of(np.full((4, 5, 6), 0.1, "float32"))[0] == 0.5).all()


def test_the_picture_is_drawn_beside_them(rng):
    image = rng.random((12, 16))
    figure = visualize.features(rng.normal(size=(12, 16, 4)), image)
    assert [axes.get_title() for axes in figure.axes][0] == "picture" and len(figure.axes) == 2
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)


F = np.zeros((12, 16, 4))
WRONG = {
    "two dimensions": ((F[..., 0],), "(height, width, channels)", "(12, 16)"),
    "empty": ((F[:0],), "not empty", "(0, 16, 4)"),
    "integers": ((F.astype(int),), "must have a type", "int64"),
    "not finite": ((F + [0, 0, np.nan, np.inf],), "finite", "384"),
    "an image of another size": ((F, F[1:, :, :3]), "height and width", "(11, 16, 3)"),
    "an image of two channels": ((F, F[..., :2]), "grey or RGB", "(12, 16, 2)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    arguments, rule, received = WRONG[name]
    with refused(rule, received):
        visualize.features(*arguments)

"""Position and colour features."""

import numpy as np

from keras_pac import ops
from tests.support.tolerances import assert_close


def test_position_color_features(rng):
    image = rng.random((2, 3, 4, 3))
    features = ops.position_color_features(image, 2.0, 0.5).numpy()
    for row, column in np.ndindex(3, 4):
        expected = [[row / 2, column / 2, *(color / 0.5)] for color in image[:, row, column]]
        assert_close(features[:, row, column], expected, "float64")
    assert ops.position_color_features(image, 2.0).shape == (2, 3, 4, 2)
    assert_close(ops.position_color_features(image, color_scale=2.0), image / 2, "float64")

"""Bilinear resizing by whole factors, against TensorFlow."""

import pytest
import tensorflow as tf

from keras_pac.ops._geometry.resize import enlarge_bilinear, shrink_bilinear
from tests.support.tolerances import assert_close


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(5, 7), (1, 2)], ids=str)
def test_enlarge_bilinear(size, factor, rng):
    target = rng.random((2, *size, 2), "float32")
    expected = tf.image.resize(target, (factor * size[0], factor * size[1]))
    assert_close(enlarge_bilinear(target, (factor, factor)), expected, "float32")


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(5, 7), (1, 2)], ids=str)
def test_shrink_bilinear(size, factor, rng):
    guide = rng.random((2, factor * size[0], factor * size[1], 3), "float32")
    expected = tf.image.resize(guide, size)
    assert_close(shrink_bilinear(guide, factor), expected, "float32")

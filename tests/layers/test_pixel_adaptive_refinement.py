"""`PixelAdaptiveRefinement` against reference numbers and a definition pixel by pixel."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac.layers import PixelAdaptiveRefinement
from keras_pac.models import refine
from tests.support.oracle import gradient_of
from tests.support.paths import GOLDEN
from tests.support.tolerances import assert_close

FILES = sorted((GOLDEN / "refinement").glob("*.npz"))


def refined(layer, mask, image):
    return keras.ops.convert_to_numpy(layer([mask, image]))


def resized(mask, size):
    """Bilinear, corners on corners: pixel i of n lies at i (m - 1) / (n - 1) of m."""
    for axis in (0, 1):
        positions = np.linspace(0, mask.shape[axis] - 1, size[axis])
        before = np.minimum(positions.astype(int), mask.shape[axis] - 1)
        after = np.minimum(before + 1, mask.shape[axis] - 1)
        share = np.expand_dims(positions - before, (1 - axis, 2))
        mask = (1 - share) * mask.take(before, axis) + share * mask.take(after, axis)
    return mask


def definition(mask, image, dilation_rates, iterations):
    """PAMR of one image, pixel by pixel; the arrays may be complex, with derivatives in them."""
    height, width = image.shape[:2]
    mask = resized(mask, (height, width))
    offsets = [(d * i, d * j) for d in dilation_rates for i in (-1, 0, 1) for j in (-1, 0, 1)]
    at = np.array(
        [
            [[(min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)) for i, j in offsets]]
            for y in range(height)
            for x in range(width)
        ]
    ).reshape(height, width, len(offsets), 2)
    rows, columns = at[..., 0], at[..., 1]
    seen = image[rows, columns]
    mean = seen.mean(2, keepdims=True)
    deviation = np.sqrt(((seen - mean) ** 2).sum(2, keepdims=True) / (len(offsets) - 1))
    difference = seen - image[:, :, None]
    distance = difference * np.sign(difference.real) / (1e-8 + 0.1 * deviation)
    weights = np.exp(-distance.mean(3)) * [offset != (0, 0) for offset in offsets]
    weights = weights / weights.sum(2, keepdims=True)
    for _ in range(iterations):
        mask = (weights[..., None] * mask[rows, columns]).sum(2)
    return mask


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reference_numbers(implementation, path, data_format):
    arrays = np.load(path)
    config = json.loads(str(arrays["config"]))
    mask, image, y = (arrays[name] for name in ("mask", "image", "y"))
    if data_format == "channels_last":
        mask, image, y = (array.transpose(0, 2, 3, 1) for array in (mask, image, y))
    layer = PixelAdaptiveRefinement(
        config["dilations"], config["iterations"], data_format, dtype="float64"
    )
    np.testing.assert_allclose(refined(layer, mask, image), y, rtol=0, atol=1e-12)
    layer = PixelAdaptiveRefinement(config["dilations"], config["iterations"], data_format)
    assert_close(refined(layer, mask, image), y, "float32")


def test_all_reference_files_are_there():
    assert len(FILES) == 4


SIZES = {  # of mask and image
    "larger mask": ((9, 11, 2), (5, 4, 3)),
    "one label": ((3, 3, 1), (7, 6, 3)),
    "grey image": ((6, 7, 2), (6, 7, 1)),
    "dilation larger than the image": ((2, 2, 2), (2, 3, 3)),
    "one pixel of mask": ((1, 1, 2), (4, 5, 3)),
    "one row": ((1, 5, 2), (1, 9, 3)),
}


@pytest.mark.parametrize("name", SIZES)
def test_definition(implementation, name, rng):
    mask, image = (rng.random(size) for size in SIZES[name])
    layer = PixelAdaptiveRefinement((1, 3), 2, dtype="float64")
    expected = definition(mask, image, (1, 3), 2)
    assert_close(refined(layer, mask[None], image[None])[0], expected, "float64")


@pytest.mark.parametrize("name", ["mask", "image"])
def test_gradients(implementation, name, rng):
    options = {"dilation_rates": (1, 2), "iterations": 2}
    arrays = {"mask": rng.random((3, 4, 2)), "image": rng.random((5, 6, 3))}
    upstream = rng.normal(size=(5, 6, 2))
    layer = PixelAdaptiveRefinement(**options, dtype="float64")
    tensors = {key: tf.constant(array[None]) for key, array in arrays.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        y = layer([tensors["mask"], tensors["image"]])
    gradient = tape.gradient(y, tensors[name], output_gradients=tf.constant(upstream[None]))
    expected = gradient_of(
        lambda array: (definition(**{**arrays, name: array}, **options) * upstream).sum(),
        arrays[name],
    )
    assert_close(gradient[0], expected, "float64")


def test_one_colour_gives_equal_weights_and_finite_gradients(implementation, rng):
    mask = tf.constant(rng.random((1, 6, 7, 2)), "float32")
    image = tf.fill((1, 6, 7, 3), 0.3)
    layer = PixelAdaptiveRefinement((1, 2), 1)
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = layer([mask, image])
    distances = [(d * i, d * j) for d in (1, 2) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    neighbours = [mask[0, 3 + i, 3 + j] for i, j in distances]
    assert_close(y[0, 3, 3], np.mean(neighbours, axis=0), "float32")
    assert np.isfinite(tape.gradient(y, image)).all()


def test_nan_spreads_no_further_than_the_window(rng):
    mask, image = rng.random((1, 9, 9, 1)), rng.random((1, 9, 9, 3))
    image[0, 0, 0, 0] = np.nan
    y = refined(PixelAdaptiveRefinement((1, 2), 1), mask, image)
    assert np.isnan(y[0, :3, :3]).any() and np.isfinite(y[0, 3:]).all()


def test_unknown_sizes_saving_and_half_precision(tmp_path, rng):
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 3))]
    model = keras.Model(inputs, PixelAdaptiveRefinement((1, 2), 2)(inputs))
    assert model.output_shape == (None, None, None, 2)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for mask, image in (((4, 5, 2), (8, 9, 3)), ((3, 3, 2), (5, 4, 3))):
        mask, image = rng.random(mask), rng.random(image)
        expected = definition(mask, image, (1, 2), 2)
        y = again.predict_on_batch([mask[None], image[None]])
        assert_close(y[0], expected, "float32")
        for dtype in ("float16", "bfloat16"):
            layer = PixelAdaptiveRefinement((1, 2), 2, dtype=f"mixed_{dtype}")
            y = layer([mask[None], image[None]])
            assert y.dtype == dtype
            rounded = (np.asarray(tf.cast(tf.cast(a, dtype), "float64")) for a in (mask, image))
            expected_of_rounded = definition(*rounded, (1, 2), 2)
            assert_close(tf.cast(y[0], "float32"), expected_of_rounded, dtype)


WRONG = {
    "no dilation": (lambda: PixelAdaptiveRefinement(()), "dilation_rates=()"),
    "dilation of 0": (lambda: PixelAdaptiveRefinement((1, 0)), "dilation_rates=(1, 0)"),
    "iterations": (lambda: PixelAdaptiveRefinement(iterations=0), "iterations=0"),
    "one tensor": (lambda: PixelAdaptiveRefinement()([np.ones((1, 4, 4, 2))]), "1 tensors"),
    "one tensor of a batch of two": (
        lambda: PixelAdaptiveRefinement()(np.ones((2, 4, 4, 2), "float32")),
        "1 tensors",
    ),
    "no pixels": (
        lambda: PixelAdaptiveRefinement()([np.ones((1, 0, 4, 2)), np.ones((1, 4, 4, 3))]),
        "(1, 0, 4, 2)",
    ),
    "rank": (
        lambda: PixelAdaptiveRefinement()([np.ones((4, 4, 2)), np.ones((1, 4, 4, 3))]),
        "shape (4, 4, 2)",
    ),
    "batches": (
        lambda: PixelAdaptiveRefinement()([np.ones((2, 4, 4, 2)), np.ones((1, 4, 4, 3))]),
        "shape (2, 4, 4, 2)",
    ),
    "integers": (
        lambda: PixelAdaptiveRefinement()(
            [np.ones((1, 4, 4, 2), "float32"), np.ones((1, 4, 4, 3), "uint8")]
        ),
        "uint8",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    call, received = WRONG[name]
    with pytest.raises(ValueError) as raised:
        call()
    assert received in str(raised.value).split("Received")[1]


def test_refine_is_this_layer_and_tiles_do_not_show(rng):
    probabilities = rng.dirichlet(np.ones(3), (70, 61))
    image = rng.integers(0, 256, (70, 61, 3), "uint8")
    expected = definition(probabilities, image / 255, (1, 2, 4, 8, 12, 24), 1)
    y = refine(probabilities, image, method="pamr", steps=1)
    assert y.dtype == np.float32
    assert_close(y, expected, "float32")
    assert_close(refine(probabilities, image, method="pamr", steps=1, tile=20), y, "float32")
    assert refine(probabilities[..., :1], image, method="pamr").shape == (70, 61, 1)


def test_refine_refuses_what_pamr_does_not_take():
    arrays = np.full((4, 4, 2), 0.5), np.zeros((4, 4, 3))
    with pytest.raises(ValueError, match="(?s)takes no color_scale.*0.5"):
        refine(*arrays, method="pamr", color_scale=0.5)
    with pytest.raises(ValueError, match="steps=0"):
        refine(*arrays, method="pamr", steps=0)
    with pytest.raises(ValueError, match="(?s)`method`.*'PAMR'"):
        refine(*arrays, method="PAMR")

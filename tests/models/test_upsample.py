"""`keras_pac.upsample`: units, types, sizes, unknown pixels, tiles, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_pac
from examples.joint_upsampling.evaluate import interpolate
from examples.joint_upsampling.low_resolution import low_resolution
from examples.joint_upsampling.metrics import rmse
from examples.scenes.drawing import draw_scene
from keras_pac import models
from keras_pac.models.low_res_kind import add_enlarged, missing


def pair(size=(5, 7), factor=4, channels=None, seed=0):
    """A random target, and an image of its size times the factor."""
    rng = np.random.default_rng(seed)
    shape = size if channels is None else (*size, channels)
    image = rng.integers(0, 256, (factor * size[0], factor * size[1], 3), np.uint8)
    return rng.uniform(0, 1, shape), image


@pytest.mark.parametrize("low_res", ["center", "average"])
@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_ready_made_weights_beat_interpolation(factor, low_res):
    """On scenes that they have not seen, told or not how the low-res target was made."""
    size, errors = 224, []
    how = {"center": "center", "average": "pillow"}[low_res]
    interpolation = {"center": "bilinear", "average": "bicubic"}[low_res]
    for seed in range(4):
        image, disparity = draw_scene(np.random.default_rng(5_000_000 + seed), size)
        low = low_resolution(disparity[..., None], factor, how)
        results = [
            interpolate(low, factor, interpolation),
            keras_pac.upsample(low, image, low_res),
            keras_pac.upsample(low, image),
        ]
        errors.append([rmse(result, disparity[..., None]) for result in results])
    interpolated, told, untold = np.mean(errors, 0)
    assert max(told, untold) < 0.9 * interpolated, errors


@pytest.mark.parametrize("unit", [(1e-3, 0), (1e6, -3e6), (1.0, 1e5), (1e-30, 0), (1e30, 5e30)])
@pytest.mark.parametrize("factor, low_res", [(2, "center"), (16, "any")])
def test_a_change_of_unit_passes_through(factor, low_res, unit):
    scale, offset = unit
    target, image = pair(factor=factor)
    y = keras_pac.upsample(target, image, low_res).astype(np.float64)
    changed = keras_pac.upsample(scale * target + offset, image, low_res)
    # The result is float32: what it can hold depends on the offset.
    atol = 2e-6 * scale + 1e-7 * abs(offset)
    np.testing.assert_allclose(changed, scale * y + offset, rtol=0, atol=atol)


def test_every_channel_is_upsampled_by_itself_in_its_own_unit():
    target, image = pair(channels=3)
    together = keras_pac.upsample(target * [1, 1e-5, 1e5], image)
    for channel, unit in enumerate([1, 1e-5, 1e5]):
        alone = keras_pac.upsample(target[..., channel], image)
        assert alone.shape == image.shape[:2]
        np.testing.assert_allclose(together[..., channel] / unit, alone, atol=2e-6)


NETWORKS = {
    "scenes": lambda: "scenes",
    "learned2": lambda: models.LearnedBilateralUpsample(2),
    "learned8": lambda: models.LearnedBilateralUpsample(8),
    "pac2": lambda: models.PacJointUpsample(2),
    "pac4": lambda: models.PacJointUpsample(4),
    "lite8": lambda: models.PacJointUpsampleLite(8),
    "lite16": lambda: models.PacJointUpsampleLite(16),
    "djif1": lambda: models.DJIF(1),
    "djif4": lambda: models.DJIF(4),
    "filter": lambda: models.JointBilateralUpsample(4, 13, 0.3, 6.0),
}


@pytest.mark.parametrize(
    "name, low_res",
    [*((name, "center") for name in NETWORKS), ("scenes", "average"), ("learned8", "average")],
)
def test_tiles_do_not_show(name, low_res):
    """Also where the factor does not divide the size of the image or of the tile."""
    keras.utils.set_random_seed(0)
    network = NETWORKS[name]()
    factor = getattr(network, "factor", 4)
    size = (30, 61)
    target, image = pair(size, factor)
    image = image[: image.shape[0] - factor // 2, : image.shape[1] - factor + 1]
    # Positions in a tile start at 0, and the filter compares rounded ones.
    tolerance = 2e-5 if isinstance(network, models.JointBilateralUpsample) else 2e-6
    whole = keras_pac.upsample(target, image, low_res, network, tile=10_000)
    for tile in (7 * factor, 20 * factor + 1):
        tiled = keras_pac.upsample(target, image, low_res, network, tile=tile)
        assert tiled.shape == image.shape[:2]
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=tolerance * np.abs(whole).max())


def test_a_network_of_unknown_reach_gets_the_whole_image():
    seen = []

    class Twice(keras.Model):
        factor = 2

        def call(self, inputs):
            seen.append([tuple(tensor.shape[1:3]) for tensor in inputs])
            return keras.ops.repeat(keras.ops.repeat(inputs[0], 2, axis=1), 2, axis=2)

    target, image = pair((6, 8), 2)
    y = keras_pac.upsample(target, image, weights=Twice(), tile=3)
    assert set(map(tuple, seen)) == {((6, 8), (12, 16))}
    np.testing.assert_allclose(y[::2, ::2], target, rtol=1e-6)


def test_many_tiles_show_their_progress(capsys):
    """Twice, where the image is also seen turned."""
    target, image = pair((48, 48), 2)
    keras_pac.upsample(target, image)
    assert not capsys.readouterr().out
    keras_pac.upsample(target, image, tile=32)
    assert "9/9" in capsys.readouterr().out
    keras_pac.upsample(target, image, "average", tile=48)
    assert "8/8" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float16", "float64", "longdouble", "uint16", "int64", "bool"])
def test_types_of_the_target(dtype):
    target, image = pair()
    target = np.round(256 * target).astype(dtype)  # every type but bool has these numbers
    y = keras_pac.upsample(target, image)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, keras_pac.upsample(target.astype(np.float32), image))
    np.testing.assert_array_equal(y, keras_pac.upsample(target.tolist(), image))


def test_types_of_the_image():
    target, image = pair()
    y = keras_pac.upsample(target, image)
    for dtype in ("float32", "float64"):
        np.testing.assert_allclose(
            keras_pac.upsample(target, (image / 255).astype(dtype)), y, atol=2e-6
        )
    grey = image[..., :1]
    y = keras_pac.upsample(target, np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(keras_pac.upsample(target, grey), y)
    np.testing.assert_array_equal(keras_pac.upsample(target, grey[..., 0]), y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("low_res", ["any", "center"])
@pytest.mark.parametrize("value", [0, 7.5, -3e38, 1e-310, 1e30])
def test_a_flat_target_stays_flat(value, low_res, hole):
    _, image = pair()
    unknown = hole & (np.indices((5, 7)).sum(0) == 4)
    target = np.ma.masked_array(np.full((5, 7), value), unknown)
    np.testing.assert_array_equal(keras_pac.upsample(target, image, low_res), np.float32(value))


def test_the_largest_numbers_of_float32():
    """Where the result overshoots what float32 holds, it is the largest number."""
    target, image = pair((12, 16))
    largest = np.finfo(np.float32).max
    y = keras_pac.upsample(np.where(target > 0.5, largest, -largest), image)
    expected = keras_pac.upsample(np.where(target > 0.5, 1.0, 0.0), image)
    expected = np.clip((expected.astype(np.float64) - 0.5) * 2, -1, 1)
    np.testing.assert_allclose(y / largest, expected, atol=2e-6)
    assert np.abs(expected).max() == 1


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_unknown_pixels(unknown):
    """What stands in a masked pixel does not matter; pixels far from it don't change."""
    target, image = pair((40, 40), 2)
    mask = np.ones((40, 40), bool)
    mask[3:5, 2:6] = False
    y = keras_pac.upsample(np.where(mask, target, unknown), image)
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(keras_pac.upsample(target, image, valid_mask=mask), y)
    masked = np.ma.masked_array(target, ~mask)
    np.testing.assert_array_equal(keras_pac.upsample(masked, image), y)
    for other in (np.where(mask, 0.5, np.nan), np.ma.masked_array(np.ones((40, 40)), ~mask)):
        np.testing.assert_array_equal(keras_pac.upsample(target, image, valid_mask=other), y)
    far = keras_pac.upsample(target, image)
    np.testing.assert_allclose(y[70:, 70:], far[70:, 70:], atol=2e-6)


def test_a_mask_for_each_channel():
    target, image = pair(channels=2)
    mask = np.ones(target.shape, "uint8")
    mask[1:3, 2, 1] = 0
    y = keras_pac.upsample(target, image, valid_mask=mask)
    np.testing.assert_array_equal(y[..., 0], keras_pac.upsample(target[..., 0], image))
    alone = keras_pac.upsample(target[..., 1], image, valid_mask=mask[..., 1])
    np.testing.assert_array_equal(y[..., 1], alone)


def once(network, low, image, told):
    """What the network alone makes of a target in [0, 1]."""
    inputs = [low[None], (image / np.float32(255))[None], np.full((1, 1), told, np.float32)]
    return np.array(network([x.astype("float32") for x in inputs]))[0]


@pytest.mark.parametrize(
    "told, how, late", [("any", "center", 0), ("center", "center", 1), ("average", "area", 0)]
)
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_low_res_is_told_and_then_the_scene_is_also_seen_turned(factor, told, how, late):
    """A turned scene has the same low-res target, turned; "center" if it begins a pixel later."""
    rng = np.random.default_rng(0)
    truth, image = rng.uniform(0, 1, (5 * factor, 7 * factor, 1)), pair(factor=factor)[1]
    low = low_resolution(truth, factor, how)
    network = models.LearnedBilateralUpsample(factor, weights="scenes")
    number = {"any": 0, "center": 1, "average": -1}[told]
    unit = ((low - low.min()) / np.ptp(low)).astype("float32")
    expected = once(network, unit, image, number)
    if told != "any":
        rest = np.ones(low.shape, bool), factor, told, 100
        seen = unit
        if (factor, told) not in [(2, "center"), (4, "center")]:
            seen = unit + 2 * missing(expected, unit, *rest)
        begin = [(0, late), (0, late), (0, 0)]
        truth, image_turned = (
            np.pad(np.rot90(x, 2)[late:, late:], begin, mode="edge") for x in (truth, image)
        )
        np.testing.assert_allclose(low_resolution(truth, factor, how), np.rot90(low, 2))
        turned = once(network, np.rot90(seen, 2), image_turned, number)
        rows, cols = (size - late for size in image.shape[:2])
        both = expected[:rows, :cols], np.rot90(turned[:rows, :cols], 2)
        expected[:rows, :cols] = np.mean(both, 0)
        add_enlarged(expected, missing(expected, unit, *rest), factor, told, 100)
    result = keras_pac.upsample(low, image, told)
    np.testing.assert_allclose(result, expected * np.ptp(low) + low.min(), atol=2e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"target": np.zeros(5)}, r"`target` must be an array .* Received: shape \(5,\)"),
        ({"target": np.zeros((0, 7))}, r"not empty. Received: shape \(0, 7\)"),
        ({"target": np.zeros((5, 7), complex)}, "real type. Received: dtype=complex128"),
        ({"target": np.full((5, 7), "1")}, "real type. Received: dtype=<U1"),
        ({"target": np.full((5, 7), 1e39)}, "must fit into float32, .* Received: 1e\\+39"),
        ({"target": np.full((5, 7), np.nan)}, "must have a known pixel. Received: 1 of 1"),
        ({"target": np.zeros((5, 6))}, "a factor of 2 or 4 or 8 or 16.*5x6 and an image of 20x28"),
        ({"target": np.zeros((10, 7))}, "the same in height and width"),
        ({"target": np.zeros((20, 28))}, "must be larger than the target"),
        ({"target": np.zeros((40, 56))}, "must be larger than the target"),
        ({"image": np.zeros((15, 21, 3))}, "a target of 5x7 and an image of 15x21"),
        ({"image": np.zeros((20, 28, 4))}, r"grey or RGB. Received: shape \(20, 28, 4\)"),
        (
            {"image": np.zeros((20, 28, 3), int)},
            "`image` must be of uint8, or .* int64 from 0 to 0",
        ),
        ({"image": np.full((20, 28, 3), 255.0)}, "from 0 to 1. Received: float64 from 255"),
        ({"image": np.full((20, 28, 3), np.nan)}, "from 0 to 1. Received: float64 from nan"),
        ({"low_res": "centre"}, "`low_res` must be one of .* Received: low_res='centre'"),
        ({"weights": "imagenet"}, "`weights` must be .* Received: weights='imagenet'"),
        ({"weights": models.JointBilateralUpsample(2, 3, 1.0, 1.0)}, "by a factor of 2,"),
        ({"valid_mask": np.zeros((5, 7))}, "must have a known pixel. Received: 1 of 1"),
        (
            {"valid_mask": np.ones((7, 5))},
            r"size of the target, .* Received: float64 of .*\(7, 5\)",
        ),
        ({"valid_mask": np.full((5, 7), "y")}, "numbers or booleans"),
        ({"tile": 0}, "`tile` must be a positive integer"),
    ],
)
def test_what_is_refused(change, message):
    target, image = pair()
    with pytest.raises(ValueError, match=message):
        keras_pac.upsample(**{"target": target, "image": image, **change})

"""A CRF behind a model, and one for arrays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from examples.joint_upsampling.evaluate import interpolate
from keras_pac import PacCRF, PacCRFLoose
from keras_pac.layers import PositionColorFeatures
from keras_pac.models import refine, with_pac_crf
from tests.support.tolerances import assert_close

POTTS = {"kernel_size": 3, "compatibility": "potts", "dilation_rate": 2}
FULL = {"kernel_size": 3, "compatibility": "4d", "blur": 2}


def network(strides=1, activation=None, size=(None, None)):
    layers = [keras.Input((*size, 3)), keras.layers.Conv2D(4, 3, strides, "same", name="score")]
    if activation:
        layers.append(keras.layers.Activation(activation))
    return keras.Sequential(layers, name="network")


def images(rng, height=11, width=14):
    return 50 * rng.random((2, height, width, 3), "float32")


def scaled_features(image, color_scale, position_scale):
    batch, height, width, _ = image.shape
    rows, columns = np.mgrid[:height, :width].astype("float32") / position_scale
    positions = np.broadcast_to(np.stack([rows, columns], -1), (batch, height, width, 2))
    return np.concatenate([positions, image / color_scale], -1)


@pytest.mark.parametrize("size", [(None, None), (11, 14)])
@pytest.mark.parametrize("strides", [1, 3])
def test_with_pac_crf_is_the_crf_of_the_output(size, strides, rng):
    base, x = network(strides, size=size), images(rng)
    model = with_pac_crf(base, [POTTS, FULL], color_scale=[20, 30.0], position_scale=5, steps=2)
    unary = tf.image.resize(base(x), (11, 14))
    features = [scaled_features(x, 20, 5), scaled_features(x, 30, 5)]
    expected = model.get_layer("crf")([unary, *features])
    assert_close(model(x), expected, "float32")
    assert model.get_layer("network") is base
    assert np.abs(expected - unary).max() > 0.1  # the CRF does something
    in_lists = with_pac_crf(
        keras.Model(base.inputs, base.outputs), POTTS, color_scale=20, perturbed_init=False
    )
    single = with_pac_crf(base, POTTS, color_scale=20, perturbed_init=False)
    assert_close(in_lists(x), single(x), "float32")


def test_probabilities_in_and_out(rng):
    x = images(rng)
    model = with_pac_crf(
        network(activation="softmax"), POTTS, color_scale=20, from_logits=False, output="softmax"
    )
    probabilities = model.get_layer("network")(x)
    assert_close(np.sum(model(x), -1), np.ones(x.shape[:3]), "float32")
    logits = np.log(np.asarray(probabilities))
    crf = model.get_layer("crf")
    assert_close(model(x), crf([logits, x / 20]), "float32")


def test_training_moves_the_scales_and_not_a_frozen_network(rng, tmp_path):
    base, x = network(), images(rng)
    model = with_pac_crf(base, [POTTS, FULL], color_scale=20, position_scale=5, loose=True, steps=2)
    assert isinstance(model.get_layer("crf"), PacCRFLoose)
    base.trainable = False
    before = [w.copy() for w in base.get_weights()]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, rng.integers(0, 4, (2, 11, 14)), epochs=2, verbose=0)
    for weight, start in zip(base.get_weights(), before):
        np.testing.assert_array_equal(weight, start)
    for layer, start in (("features_0", 20), ("features_1", 20)):
        scales = model.get_layer(layer).scales()
        assert scales["color_scale"] != pytest.approx(start, rel=1e-6)
        assert scales["position_scale"] != pytest.approx(5, rel=1e-6)

    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict(x, verbose=0), expected, "float32")
    model.export(tmp_path / "exported", verbose=False)
    other = images(rng, 9, 8)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(other), model(other), "float32")


def test_kernels_without_features_need_no_scale_of_theirs(rng):
    plain = {"kernel_size": 3, "compatibility": "none"}
    model = with_pac_crf(network(), [plain, POTTS], color_scale=[1, 20], steps=1)
    assert [layer.name for layer in model.layers if "features" in layer.name] == ["features_1"]
    assert with_pac_crf(network(), plain, color_scale=1)(images(rng)).shape == (2, 11, 14, 4)


def test_position_color_features_channels_first(rng):
    x = images(rng)
    last = PositionColorFeatures(20, 5.0, "channels_last")
    first = PositionColorFeatures(20, 5.0, "channels_first")
    assert_close(last(x), scaled_features(x, 20, 5), "float32")
    assert_close(first(x.transpose(0, 3, 1, 2)), np.transpose(last(x), (0, 3, 1, 2)), "float32")


@pytest.mark.parametrize(
    "scales",
    [
        {"color_scale": None},
        {"color_scale": [[3]]},
        {"color_scale": float("nan")},
        {"color_scale": 3, "position_scale": [[3]]},
        {"color_scale": 3, "position_scale": True},
        {"color_scale": 3, "position_scale": np.array([3.0])},
    ],
)
def test_scales_must_be_positive_numbers(scales):
    with pytest.raises(ValueError, match="must be a finite number.*Received: "):
        with_pac_crf(network(), POTTS, **scales)


def test_the_name_of_the_crf():
    model = with_pac_crf(network(), POTTS, color_scale=20, name="mine")
    assert type(model.get_layer("mine")) is PacCRF


def mean_field(probabilities, features, weight, dilation, steps):
    """One 3x3 potts kernel, pixel by pixel in float64."""
    height, width, channels = probabilities.shape
    offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    gaussian = np.array([np.exp(-(i * i + j * j) / (2 * 0.75**2)) for i, j in offsets])
    gaussian *= 9 / gaussian.sum()
    gaussian[4] = 0
    unary = np.log(probabilities)
    logits = unary
    for _ in range(steps):
        q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        message = np.zeros_like(q)
        for y in range(height):
            for x in range(width):
                for (i, j), filter in zip(offsets, gaussian):
                    v, u = y + i * dilation, x + j * dilation
                    if 0 <= v < height and 0 <= u < width:
                        distance = ((features[v, u] - features[y, x]) ** 2).sum()
                        message[y, x] += np.exp(-distance / 2) * filter * q[v, u]
        logits = unary + weight * message
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def arrays(rng, height, width, channels=3):
    probabilities = rng.dirichlet(np.ones(channels), (height, width))
    return probabilities, rng.integers(0, 256, (height, width, 3), "uint8")


def test_refine_is_mean_field_inference(rng):
    probabilities, image = arrays(rng, 9, 7)
    features = scaled_features(image[None] / 255, 0.3, 4)[0]
    expected = mean_field(probabilities, features, weight=0.5, dilation=2, steps=3)
    kernel = {**POTTS, "weight": 0.5}
    options = {"color_scale": 0.3, "position_scale": 4, "steps": 3}
    assert_close(refine(probabilities, image, kernel, **options), expected, "float32")
    floats = (image / 255).astype("float32")
    assert_close(refine(probabilities, floats, kernel, **options), expected, "float32")


@pytest.mark.parametrize("kernels", [[POTTS, FULL], {**POTTS, "blur": 3}], ids=["two", "blurred"])
def test_tiles_do_not_show(kernels, rng):
    probabilities, image = arrays(rng, 70, 61)
    whole = refine(probabilities, image, kernels, steps=2, color_scale=0.5, position_scale=9)
    tiled = refine(
        probabilities, image, kernels, steps=2, color_scale=0.5, position_scale=9, tile=20
    )
    assert whole.dtype == np.float32
    assert_close(tiled, whole, "float32")


def test_refine_sharpens_blurred_labels():
    rows, columns = np.mgrid[:64, :64]
    labels = ((rows - 30) ** 2 + (columns - 34) ** 2 < 20**2).astype(int)
    image = np.where(labels[..., None], [200, 120, 60], [60, 90, 140]).astype("uint8")
    coarse = np.eye(2)[labels].reshape(8, 8, 8, 8, 2).mean((1, 3))
    blurred = interpolate(coarse.astype("float32"), 8, "bilinear")
    wrong = (blurred.argmax(-1) != labels).sum()
    assert (refine(blurred, image).argmax(-1) != labels).sum() < 0.1 * wrong


def test_refine_takes_certain_probabilities(rng):
    labels = rng.integers(0, 3, (8, 9))
    refined = refine(np.eye(3)[labels], np.zeros((8, 9, 1), "uint8"))
    assert np.isfinite(refined).all()


WRONG_REFINE = {
    "no batch": (np.ones((1, 4, 4, 2)) / 2, np.zeros((4, 4, 3)), {}, "(1, 4, 4, 2)"),
    "empty": (np.ones((0, 4, 2)), np.zeros((0, 4, 3)), {}, "(0, 4, 2)"),
    "one label": (np.ones((4, 4, 1)), np.zeros((4, 4, 3)), {}, "(4, 4, 1)"),
    "sizes": (np.ones((4, 4, 2)) / 2, np.zeros((4, 5, 3)), {}, "(4, 5, 3)"),
    "logits": (np.full((4, 4, 2), -3.0), np.zeros((4, 4, 3)), {}, "from -3.0"),
    "nan": (np.full((4, 4, 2), np.nan), np.zeros((4, 4, 3)), {}, "from nan"),
    "labels": (np.ones((4, 4, 2), int), np.zeros((4, 4, 3)), {}, "int64"),
    "0 to 255": (np.ones((4, 4, 2)) / 2, np.full((4, 4, 3), 255.0), {}, "to 255.0"),
    "tile": (np.ones((4, 4, 2)) / 2, np.zeros((4, 4, 3)), {"tile": 0}, "tile=0"),
    "scale": (np.ones((4, 4, 2)) / 2, np.zeros((4, 4, 3)), {"color_scale": -1}, "color_scale=-1"),
    "kernels": (np.ones((4, 4, 2)) / 2, np.zeros((4, 4, 3)), {"kernels": []}, "[]"),
}


@pytest.mark.parametrize("name", WRONG_REFINE)
def test_refine_names_bad_input(name):
    probabilities, image, options, received = WRONG_REFINE[name]
    with pytest.raises(ValueError) as raised:
        refine(probabilities, image, **options)
    assert received in str(raised.value).split("Received")[1]


def test_with_pac_crf_names_bad_input():
    two_inputs = keras.Model([a := keras.Input((4, 4, 3)), b := keras.Input((4, 4, 3))], a + b)
    vector = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    options = {"kernels": POTTS, "color_scale": 20}
    for model, received in (
        (two_inputs, r"inputs \[\(None, 4, 4, 3\), \(None, 4, 4, 3\)\]"),
        (vector, r"outputs \[\(None, 192\)\]"),
        (keras.Sequential(), r"inputs \[\]"),
        ("network", "str"),
    ):
        with pytest.raises(ValueError, match=received):
            with_pac_crf(model, **options)
    for wrong, received in (
        ({"color_scale": [1, 2]}, r"color_scale=\[1, 2\]"),
        ({"color_scale": None}, "color_scale=None"),
        ({"position_scale": 0}, "position_scale=0"),
        ({"kernels": []}, r"\[\]"),
        ({"loose": "no"}, "loose='no'"),
    ):
        with pytest.raises(ValueError, match=received):
            with_pac_crf(network(), **{**options, **wrong})

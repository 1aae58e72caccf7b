"""FCN-8s: where its scores lie in the image, sizes, start, VGG-16 weights, swapping, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import PacConv2D
from keras_pac.models import FCN8s, fcn8s, swap_conv2d
from tests.support.tolerances import assert_close

PADDINGS = ["original", "same"]
SWAPPED = ["conv3_3", "conv4_3", "conv5_3"]
SCORES = ["score_fr", "score_pool4", "score_pool3"]


@pytest.fixture
def narrow(monkeypatch):
    """The layers of FCN-8s with few filters each."""
    monkeypatch.setattr(fcn8s, "BLOCKS", tuple((count, 4) for count, _ in fcn8s.BLOCKS))
    monkeypatch.setattr(fcn8s, "FC_FILTERS", 6)


def scoring(model):
    """The model with random scores instead of zeros, each of which counts, and with biases."""
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(random.uniform(size=layer.bias.shape))
    for name, scale in zip(SCORES, (1, 100, 10_000)):
        layer = model.get_layer(name)
        layer.kernel.assign(scale * random.standard_normal(layer.kernel.shape))
    return model


def images(rng, size, batch=1):
    """As `keras.applications.vgg16.preprocess_input` returns them."""
    return keras.applications.vgg16.preprocess_input(
        rng.uniform(0, 255, (batch, *size, 3)).astype("float32")
    )


@pytest.mark.parametrize("path, shift", list(zip(SCORES, (15.5, 7.5, 3.5))))
@pytest.mark.parametrize("padding", PADDINGS)
def test_scores_lie_where_their_pixels_are(narrow, padding, path, shift):
    """An image of coordinates comes out as itself, but for what max-pooling adds.

    With convolutions that only copy, a pooled cell of n pixels holds its largest coordinate, which
    is (n - 1) / 2 more than that of its centre; bilinear interpolation keeps a ramp.
    """
    model = FCN8s(classes=2, padding=padding, input_shape=(None, None, 2))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape)
            middle = kernel.shape[0] // 2
            if layer.name not in SCORES or layer.name == path:
                kernel[middle, middle, [0, 1], [0, 1]] = 1
            layer.kernel.assign(kernel)
    model.get_layer(path).kernel.assign(
        model.get_layer(path).kernel * {"score_pool4": 100, "score_pool3": 10_000}.get(path, 1)
    )
    rows, columns = np.meshgrid(np.arange(230), np.arange(261), indexing="ij")
    coordinates = np.stack([rows, columns], axis=-1).astype("float32")
    y = model(coordinates[None] + 1)[0]  # 1: larger than the zeros around the image
    # Farther than the largest cell and the three interpolations from the border.
    inner = (slice(96, -96), slice(96, -96))
    np.testing.assert_allclose(y[inner], coordinates[inner] + 1 + shift, atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (2, 33), (31, 40), (64, 96)], ids=str)
@pytest.mark.parametrize("padding", PADDINGS)
def test_any_size_known_or_not(narrow, rng, padding, size):
    model = scoring(FCN8s(classes=3, padding=padding))
    x = images(rng, size)
    expected = model(x)
    assert tuple(expected.shape) == (1, *size, 3)
    assert np.asarray(expected).any(axis=(0, 1, 2)).all()
    signature = [tf.TensorSpec((None, None, None, 3))]
    assert_close(tf.function(model, input_signature=signature)(x), expected, "float32")
    known = FCN8s(classes=3, padding=padding, input_shape=(*size, 3))
    assert known.output_shape == (None, *size, 3)
    known.set_weights(model.get_weights())
    assert_close(known(x), expected, "float32")


@pytest.mark.parametrize("padding", PADDINGS)
def test_start(narrow, rng, padding):
    model = FCN8s(classes=3, padding=padding)
    with tf.GradientTape() as tape:
        y = model(images(rng, (40, 50)))
        loss = tf.reduce_mean(y * rng.standard_normal(y.shape))
    assert not np.any(y)
    kernels = [model.get_layer(name).kernel for name in SCORES]
    for gradient in tape.gradient(loss, [kernel.value for kernel in kernels]):
        assert np.abs(gradient).max() > 0
    learned = {variable.path.partition("/")[0] for variable in model.trainable_variables}
    assert {"upscore2", "upscore_pool4"} < learned and "upscore8" not in learned


@pytest.mark.parametrize("padding", PADDINGS)
def test_swapped_predicts_the_same(narrow, rng, padding):
    model, x = scoring(FCN8s(padding=padding)), images(rng, (31, 40), batch=2)
    new = swap_conv2d(model, SWAPPED, guide="conv2_2")
    assert all(isinstance(new.get_layer(name), PacConv2D) for name in SWAPPED)
    expected = np.asarray(model(x))
    difference = np.abs(np.asarray(new(x)) - expected).max()
    assert 0 < difference <= 1e-3 * np.abs(expected).max()


def test_fit_save_reload_export(narrow, rng, tmp_path):
    model, x = scoring(FCN8s(classes=3)), images(rng, (31, 40))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, np.zeros((1, 31, 40)), verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict(x, verbose=0), expected, "float32")
    assert not again.get_layer("upscore8").trainable
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(x), expected, "float32")


@pytest.fixture(scope="module")
def vgg_and_fcn(tmp_path_factory):
    """A random VGG-16, and FCN-8s with the weights that it saved."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.weights.h5"
    vgg = keras.applications.VGG16(weights=None)
    random = np.random.default_rng(0)
    for weight in vgg.weights:
        if weight.path.endswith("bias"):  # they start as zero
            weight.assign(random.standard_normal(weight.shape))
    vgg.save_weights(path)
    fcn = FCN8s(classes=11, padding="same", weights=path)
    path.unlink()
    return vgg, fcn


@pytest.mark.slow
def test_weights_of_vgg16(vgg_and_fcn, rng):
    """In the middle of 224 x 224 pixels the window of fc6 is all that fc1 sees: the 7 x 7 cells."""
    vgg, fcn = vgg_and_fcn
    x = images(rng, (224, 224))
    pool5, fc1, fc2 = _outputs(vgg, ["block5_pool", "fc1", "fc2"])(x)
    same_pool5, fc6, fc7 = _outputs(fcn, ["pool5", "fc6", "fc7"])(x)
    assert_close(same_pool5, pool5, "float32")
    assert_close(fc6[:, 3, 3], fc1, "float32")
    assert_close(fc7[:, 3, 3], fc2, "float32")


@pytest.mark.slow
def test_the_whole_network_swapped(vgg_and_fcn, rng):
    _, fcn = vgg_and_fcn
    expected = scoring(fcn).predict(x := images(rng, (64, 96)), verbose=0)
    new = swap_conv2d(fcn, SWAPPED, guide="conv2_2")
    difference = np.abs(new.predict(x, verbose=0) - expected).max()
    assert 0 < difference <= 1e-3 * np.abs(expected).max()


@pytest.mark.slow
def test_number_of_weights(vgg_and_fcn):
    vgg, fcn = vgg_and_fcn
    classifier = vgg.get_layer("predictions").count_params()
    scores = sum((channels + 1) * 11 for channels in (4096, 512, 256))
    upsampling = (4 * 4 + 4 * 4 + 16 * 16) * 11 * 11
    assert fcn.count_params() == vgg.count_params() - classifier + scores + upsampling


def _outputs(model, names):
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


@pytest.mark.parametrize(
    "arguments, rule, received",
    [
        ({"classes": 0}, "positive integer", "classes=0"),
        ({"padding": "valid"}, '"original" or "same"', "padding='valid'"),
        ({"weights": "nowhere.weights.h5"}, "path to the weights file", "nowhere.weights.h5"),
        ({"input_shape": None}, "height, width, channels", "None"),
        ({"input_shape": (64, 64)}, "height, width, channels", "(64, 64)"),
        ({"input_shape": (3, None, None)}, "height, width, channels", "(3, None, None)"),
        ({"input_shape": (0, 64, 3)}, "height, width, channels", "(0, 64, 3)"),
        (
            {"input_shape": (None, None, 4), "weights": "imagenet"},
            "3 channels",
            "(None, None, 4)",
        ),
    ],
    ids=str,
)
def test_bad_arguments(arguments, rule, received):
    with pytest.raises(ValueError) as error:
        FCN8s(**arguments)
    assert rule in str(error.value) and received in str(error.value)

"""The CRF layers: reference cases, any size, every way to call them, bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pac import PacConv2D, PacCRF, PacCRFLoose, PairwiseKernel, ops
from tests.support.crf_cases import GOLDEN_CRFS, golden_crf
from tests.support.tolerances import assert_close

CHANNELS, FEATURES = 4, 3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", GOLDEN_CRFS, ids=lambda path: path.stem)
def test_golden(implementation, path, dtype):
    layer, inputs, images, weights, arrays = golden_crf(path, dtype)
    variables = {name: weight.value for name, (weight, _) in weights.items()}
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = layer(inputs())
    assert_close(y, arrays["y"], dtype, "y")
    sources = {"unary": images[0], "features": images[1], **variables}
    gradients = tape.gradient(y, sources, output_gradients=tf.constant(arrays["grad_y"], dtype))
    expected = {name[5:]: a for name, a in arrays.items() if name.startswith("grad_")}
    del expected["y"]
    for name, gradient in gradients.items():
        convert = weights[name][1] if name in weights else (lambda a: a)
        reference = convert(expected.pop(name))
        if reference.ndim == 0:
            # A sum over all pixels that may cancel: its rounding is relative to the terms.
            terms = np.abs(arrays["grad_y"] * arrays["unary"]).sum()
            gradient, reference = [gradient / terms, 1], [reference / terms, 1]
        assert_close(gradient, reference, dtype, f"gradient of {name}")
    # The others are zero: gradients of weights without effect, which are constants here.
    assert all("pairwise_weights" in name and not array.any() for name, array in expected.items())


def test_all_golden_cases_are_there():
    assert len(GOLDEN_CRFS) == 16


KERNELS = {
    "4d": {"compatibility": "4d", "kernel_size": 5, "dilation_rate": 2},
    "2d": {"compatibility": "2d", "spatial_filter": False},
    "potts": {"compatibility": "potts", "spatial_filter": False, "weight": 0.7},
    "blurred": {"compatibility": "2d", "blur": 4},
    "none": {"compatibility": "none"},
}


def images(rng, size=(13, 10), batch=2):
    return [
        rng.standard_normal((batch, *size, channels)).astype("float32")
        for channels in (CHANNELS, FEATURES)
    ]


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (13, 10), (16, 8)])
@pytest.mark.parametrize("name", KERNELS)
def test_any_size(name, size, rng):
    unary, features = images(rng, size)
    assert PacCRF(KERNELS[name], steps=2)([unary, features]).shape == unary.shape


@pytest.mark.parametrize("name", KERNELS)
def test_one_step_by_hand(name, rng):
    """Against the layers that a step is made of, at a constant image: K is 1 inside it."""
    kernel = PairwiseKernel(**KERNELS[name])
    unary, features = images(rng, (12, 8))
    features[:] = 1.0
    layer = PacCRF(kernel, steps=1, unary_weight=0.5)
    y = layer([unary, features])
    (weight, filter, compatibility), b = layer._steps[0]._parts[0], kernel.blur
    q = np.asarray(keras.ops.softmax(unary))
    q = q.reshape(2, 12 // b, b, 8 // b, b, CHANNELS).mean((2, 4))
    shared = kernel.shares_filter
    filter = np.asarray(filter) * (np.eye(CHANNELS) if shared else 1)
    convolution = keras.layers.Conv2D(
        CHANNELS, kernel.kernel_size, padding="same", dilation_rate=kernel.dilation_rate,
        use_bias=False,
    )  # fmt: skip
    convolution.build(q.shape)
    convolution.kernel.assign(filter)
    message = convolution(q)
    if compatibility is not None:
        message = message @ np.asarray(compatibility)
    message = keras.ops.image.resize(message, (12, 8))
    assert_close(y, 0.5 * unary - np.asarray(weight) * message, "float32")


@pytest.mark.parametrize("cls", [PacCRF, PacCRFLoose])
def test_a_crf_tells_its_first_messages(implementation, cls, rng):
    """With `_first_terms`, for figures: with the unary term they sum up to one step."""
    data = images(rng)
    kernels = [KERNELS[name] for name in KERNELS]
    layer = cls(kernels, steps=1, unary_weight=0.7)
    y = layer(data)
    unary, features, terms = layer._first_terms(data)
    np.testing.assert_array_equal(features[0], data[1])
    assert len(terms) == len(kernels)
    assert_close(0.7 * unary + sum(np.asarray(term) for term in terms), y, "float32")
    # Each is that of its kernel: alone, with the same weights, it makes the same step.
    for index, term in enumerate(terms):
        one = cls(kernels[index], steps=1, unary_weight=0.7)
        one.build([image.shape for image in data])
        suffix = f"_{index}"
        step = [w for w in layer.weights if w.name.endswith(suffix) or w.name == "unary_weight"]
        one.set_weights([w.numpy() for w in step])
        inputs = data if one.kernels[0].takes_features else data[0]
        assert_close(one(inputs) - 0.7 * data[0], term, "float32", str(index))


def test_filters_start_as_the_design_says():
    layer = PacCRF([KERNELS["4d"], KERNELS["2d"], KERNELS["potts"]], perturbed_init=False)
    layer.build([(1, 9, 9, CHANNELS), (1, 9, 9, FEATURES)])
    (_, full, _), (_, ones, compatibility), (potts_weight, _, _) = layer._steps[0]._parts
    full = np.asarray(full)
    assert not full[2, 2].any() and not np.einsum("hwcc->hwc", full).any()
    gaussian = np.exp(-0.5 * ((np.arange(5) - 2) / 1.25) ** 2)
    gaussian = np.outer(gaussian, gaussian) / gaussian.sum() ** 2 * 25
    gaussian[2, 2] = 0
    np.testing.assert_allclose(full[:, :, 0, 1], gaussian, rtol=1e-6)
    assert np.asarray(ones).sum() == 8 and np.asarray(ones)[1, 1] == 0
    np.testing.assert_array_equal(compatibility, 1 - np.eye(CHANNELS))
    assert float(potts_weight) == pytest.approx(-0.7)
    assert layer.count_params() == 25 * CHANNELS**2 + CHANNELS**2 + 1 + 1


def test_perturbed_init_adds_little_noise():
    filters = []
    for perturbed in (False, True):
        layer = PacCRF(KERNELS["4d"], perturbed_init=perturbed)
        layer.build([(1, 9, 9, CHANNELS), (1, 9, 9, FEATURES)])
        filters.append(np.asarray(layer._steps[0]._parts[0][1]))
    noise = np.abs(filters[1] - filters[0])
    assert 0 < noise.max() <= 5e-4 * 1.001 and noise.min() < noise.max()


def test_given_adapting_kernels_replace_features(implementation, rng):
    unary, features = images(rng)
    layer = PacCRF([KERNELS["4d"], KERNELS["none"]], steps=2)
    expected = layer([unary, features])
    kernel = ops.adapting_kernel(features, 5, padding="same", dilation_rate=2)
    assert_close(layer(unary, adapting_kernels=[kernel]), expected, "float32")


def test_channels_first_is_the_same(rng):
    unary, features = images(rng)
    last = PacCRFLoose([KERNELS["4d"], KERNELS["blurred"]], steps=2)
    expected = last([unary, features])
    first = PacCRFLoose.from_config({**last.get_config(), "data_format": "channels_first"})
    flipped = [np.transpose(image, (0, 3, 1, 2)) for image in (unary, features)]
    first.build([image.shape for image in flipped])
    first.set_weights(last.get_weights())
    assert_close(np.transpose(first(flipped), (0, 2, 3, 1)), expected, "float32")


def test_loose_steps_have_weights_of_their_own(rng):
    unary, features = images(rng)
    tied, loose = (cls(KERNELS["4d"], steps=3) for cls in (PacCRF, PacCRFLoose))
    assert tied([unary, features]).shape == loose([unary, features]).shape
    assert len(loose.weights) == 3 * len(tied.weights)


def test_fit_save_reload_export(rng, tmp_path):
    unary, features = keras.Input((None, None, CHANNELS)), keras.Input((None, None, FEATURES))
    guide = PacConv2D(2, 3, padding="same")(features)
    y = PacCRF([PairwiseKernel(3, "potts", blur=2), KERNELS["4d"]], 2, "softmax")([unary, guide])
    model = keras.Model([unary, features], y)
    model.compile("adam", "sparse_categorical_crossentropy")
    data = images(rng)
    model.fit(data, np.zeros((2, 13, 10)), epochs=1, verbose=0)
    expected = model.predict(data, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict(data, verbose=0), expected, "float32")
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(data), expected, "float32")


@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
def test_outputs(output, rng):
    data = images(rng)
    logits = PacCRF(KERNELS["2d"], perturbed_init=False)(data)
    y = PacCRF(KERNELS["2d"], output=output, perturbed_init=False)(data)
    assert_close(y, getattr(keras.ops, output)(logits), "float32")


SHAPE, OTHER = (1, 8, 9, CHANNELS), (1, 8, 9, FEATURES)
WRONG = {
    "no kernels": (lambda: PacCRF([]), None, "at least one", "[]"),
    "no steps": (lambda: PacCRF({}, steps=0), None, "positive", "steps=0"),
    "unknown compatibility": (
        lambda: PairwiseKernel(compatibility="3d"), None, "one of", "compatibility='3d'"
    ),
    "unknown argument": (lambda: PacCRF({"size": 3}), None, "kernel_size", "{'size': 3}"),
    "even kernel": (lambda: PairwiseKernel(4), None, "odd", "kernel_size=4"),
    "zero blur": (lambda: PairwiseKernel(blur=0), None, "positive", "blur=0"),
    "4d without filter": (
        lambda: PairwiseKernel(spatial_filter=False), None, '"2d" and "potts"', "'4d'"
    ),
    "unknown output": (lambda: PacCRF({}, output="probs"), None, "one of", "output='probs'"),
    "weight no number": (lambda: PairwiseKernel(weight=float("nan")), None, "finite", "weight=nan"),
    "endless weight": (
        lambda: PacCRF({}, unary_weight=float("inf")), None, "finite", "unary_weight=inf"
    ),
    "no features": (lambda: PacCRF({}), [SHAPE], "features", "0"),
    "too many features": (lambda: PacCRF({}), [SHAPE, OTHER, OTHER], "one for each", "2"),
    "features of another size": (lambda: PacCRF({}), [SHAPE, (1, 8, 8, 3)], "fit", "(1, 8, 8, 3)"),
    "one label": (lambda: PacCRF({}), [(1, 8, 9, 1), OTHER], "2 or more", "(1, 8, 9, 1)"),
    "a dict of another class": (
        lambda: PacCRF({"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}),
        None, "must be a PairwiseKernel", "Dense"
    ),
    "wrong rank": (lambda: PacCRF({}), [(8, 9, 4), OTHER], "4 dimensions", "(8, 9, 4)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    make, shapes, rule, received = WRONG[name]
    with pytest.raises(ValueError) as error:
        layer = make()
        layer([tf.zeros(shape) for shape in shapes])
    assert rule in str(error.value) and received in str(error.value)


def test_inputs_that_are_no_list_of_tensors():
    with pytest.raises(ValueError, match=r"list of tensors. Received: a dict of \['unary'"):
        PacCRF({})({"unary": tf.zeros(SHAPE), "features": tf.zeros(OTHER)})
    kernel = tf.zeros((*SHAPE[:3], 9))
    with pytest.raises(ValueError, match="must be a list of 1.*Received: shape"):
        PacCRF({})(tf.zeros(SHAPE), adapting_kernels=kernel)


def test_other_channels_than_built_for(rng):
    layer = PacCRF(KERNELS["4d"])
    layer(images(rng))
    with pytest.raises(ValueError, match="(?s)4 channels.*Received"):
        layer([tf.zeros((1, 8, 9, 5)), tf.zeros(OTHER)])

"""The messages that are drawn: against the steps of the layer itself."""

import keras
import numpy as np
import pytest

from keras_pac import PacCRF, PacCRFLoose, visualize
from keras_pac.models import with_pac_crf
from tests.support.errors import refused

POTTS = {"kernel_size": 5, "compatibility": "potts", "weight": 0.4}
FULL = {"kernel_size": 3, "compatibility": "4d", "dilation_rate": 2}
PLAIN = {"kernel_size": 3, "compatibility": "none"}
IMAGE = np.random.default_rng(1).random((12, 16, 3))


def data(rng, features=3):
    return [rng.normal(size=(2, 12, 16, channels)).astype("float32") for channels in (4, features)]


def drawn(figure):
    """{title: the numbers drawn}, without the colour bar."""
    return {axes.get_title(): axes.images[0].get_array() for axes in figure.axes[:-1]}


def votes_by_hand(terms, before):
    """The term of the label before minus the largest other one, pixel by pixel."""
    votes = np.empty(before.shape)
    for place in np.ndindex(*before.shape):
        others = np.delete(terms[place], before[place])
        votes[place] = terms[place][before[place]] - others.max()
    return votes


@pytest.mark.parametrize("kernel", [POTTS, FULL, {**POTTS, "blur": 2}, PLAIN])
@pytest.mark.parametrize("cls", [PacCRF, PacCRFLoose])
def test_the_vote_of_one_kernel_is_what_a_step_adds(cls, kernel, rng):
    unary, features = data(rng)
    crf = cls(kernel, steps=3, unary_weight=0.7)
    inputs = [unary, features] if kernel is not PLAIN else unary
    panels = drawn(visualize.messages(crf, inputs, IMAGE))
    step = PacCRF(kernel, steps=1, unary_weight=0.7)
    step.build([image.shape for image in (unary, features)])
    step.set_weights([w for w in crf.get_weights()[: len(step.weights)]])
    terms = keras.ops.convert_to_numpy(step(inputs))[0] - 0.7 * unary[0]
    before = unary[0].argmax(-1)
    title = f"vote of kernel 1 ({kernel['compatibility']}, "
    title += f"{kernel['kernel_size']}x{kernel['kernel_size']})"
    assert list(panels) == ["picture", "labels before", title, "labels after"]
    np.testing.assert_allclose(panels[title], votes_by_hand(terms, before), atol=1e-4)
    np.testing.assert_array_equal(panels["picture"], IMAGE)
    np.testing.assert_array_equal(panels["labels before"], before)
    after = keras.ops.convert_to_numpy(crf(inputs))[0].argmax(-1)
    np.testing.assert_array_equal(panels["labels after"], after)


def test_each_kernel_has_its_own(rng):
    inputs = data(rng)
    panels = drawn(visualize.messages(PacCRF([POTTS, {**POTTS, "kernel_size": 3}]), inputs))
    for number, size in ((1, 5), (2, 3)):
        title = f"vote of kernel {number} (potts, {size}x{size})"
        alone = drawn(visualize.messages(PacCRF({**POTTS, "kernel_size": size}), inputs))
        if size == 3:
            alone[title] = alone.pop("vote of kernel 1 (potts, 3x3)")
        # The Gaussian filter of a kernel is trained; it starts with noise of 0.0005.
        np.testing.assert_allclose(panels[title], alone[title], atol=0.02)
        assert np.abs(alone[title]).max() > 0.2


def test_equal_neighbours_speak_for_their_label():
    unary = np.zeros((1, 9, 9, 2), "float32")
    unary[..., 0] = 1
    unary[0, 4, 4] = [0, 0.5]  # alone among others
    crf = PacCRF({**POTTS, "spatial_filter": False})
    vote = drawn(visualize.messages(crf, [unary, np.ones_like(unary)]))[
        "vote of kernel 1 (potts, 5x5)"
    ]
    assert vote[4, 4] < 0 and (np.delete(vote, 40) > 0).all()
    features = np.ones_like(unary)
    features[0, 4, 4] = 50  # and now like none of them
    vote = drawn(visualize.messages(crf, [unary, features]))["vote of kernel 1 (potts, 5x5)"]
    assert vote[4, 4] == 0


def test_channels_first_and_features_as_the_picture(rng):
    inputs = data(rng)
    last = PacCRF(FULL, perturbed_init=False, output="softmax")
    first = PacCRF(FULL, perturbed_init=False, output="softmax", data_format="channels_first")
    expected = drawn(visualize.messages(last, inputs))
    actual = drawn(visualize.messages(first, [np.moveaxis(image, -1, 1) for image in inputs]))
    assert list(actual) == list(expected)
    for title, panel in expected.items():
        np.testing.assert_allclose(actual[title], panel, atol=1e-5)
    features = inputs[1][0]
    scaled = (features - features.min()) / np.ptp(features)
    np.testing.assert_allclose(actual["features"], scaled, atol=1e-6)


def test_a_model_with_a_crf(rng):
    network = keras.Sequential([keras.Input((12, 16, 3)), keras.layers.Conv2D(4, 3, 2, "same")])
    model = with_pac_crf(network, FULL, color_scale=0.3)
    x = rng.random((1, 12, 16, 3)).astype("float32")
    panels = drawn(visualize.messages(model, x, x[0]))
    after = keras.ops.convert_to_numpy(model(x))[0].argmax(-1)
    np.testing.assert_array_equal(panels["labels after"], after)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_the_legend_names_the_labels_that_are_drawn():
    unary = np.zeros((1, 9, 9, 3), "float32")
    unary[..., 2] = 1
    unary[0, :, 4:, 0] = 3
    crf = PacCRF(POTTS)
    inputs = [unary, np.ones_like(unary)]
    for labels, expected in ((["road", "car", "sky"], ["road", "sky"]), (None, ["0", "2"])):
        legend = visualize.messages(crf, inputs, labels=labels).legends[0]
        assert [text.get_text() for text in legend.get_texts()] == expected


U = np.zeros((1, 12, 16, 4), "float32")
CRF = PacCRF(POTTS)
WRONG = {
    "another layer": ((keras.layers.Conv2D(3, 3), [U, U]), {}, "must be one of", "Conv2D"),
    "no features": ((CRF, U), {}, "needs features", "0"),
    "features of another size": ((CRF, [U, U[:, 1:]]), {}, "must fit", "(1, 11, 16, 4)"),
    "too few names": ((CRF, [U, U]), {"labels": ["a", "b"]}, "list of 4 names", "['a', 'b']"),
    "a string": ((CRF, [U, U]), {"labels": "abcd"}, "list of 4 names", "'abcd'"),
    "an image of another size": (
        (CRF, [U, U], IMAGE[1:]), {}, "height and width of the unary term", "(11, 16, 3)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    arguments, options, rule, received = WRONG[name]
    with refused(rule, received):
        visualize.messages(*arguments, **options)

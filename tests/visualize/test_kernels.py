"""The kernels that are drawn, and where: against K by hand."""

import io

import keras
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D, visualize
from keras_pac.models import PacJointUpsample
from tests.support.errors import refused

IMAGE = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)


def drawn(figure, count):
    """(masked kernels, frames (left, top, width, height)) of the first row of a figure."""
    whole, *panels = figure.axes[: 1 + count]
    kernels = [panel.images[0].get_array() for panel in panels]
    frames = [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in whole.patches
        if isinstance(patch, Rectangle)
    ]
    return kernels, frames


def by_hand(guide, center, size, dilation, met):
    """exp(-1/2 |f_j - f_i|^2) around a pixel of the guide (H, W, G); NaN where not `met`."""
    result = np.full(size, np.nan)
    for tap in np.ndindex(*size):
        place = tuple(c + d * (t - k // 2) for c, t, d, k in zip(center, tap, dilation, size))
        if met(*place):
            result[tap] = np.exp(-0.5 * ((guide[place] - guide[center]) ** 2).sum())
    return result


def inside(height, width):
    return lambda row, column: 0 <= row < height and 0 <= column < width


def test_a_convolution(rng):
    x, guide = rng.normal(size=(2, 12, 16, 2)), rng.normal(size=(2, 12, 16, 3))
    layer = PacConv2D(4, (3, 5), padding="same", dilation_rate=(1, 2))
    pixels = [(0, 0), (5, 7), (11, 14)]
    kernels, frames = drawn(visualize.kernels(layer, [x, guide], pixels, IMAGE), 3)
    for pixel, kernel, frame in zip(pixels, kernels, frames):
        expected = by_hand(guide[0], pixel, (3, 5), (1, 2), inside(12, 16))
        np.testing.assert_array_equal(np.ma.getmaskarray(kernel), np.isnan(expected))
        np.testing.assert_allclose(kernel.filled(np.nan), expected, rtol=1e-5)
        # Edges of pixels: the window reaches 1 row and 2 * 2 columns from its centre.
        assert frame == (pixel[1] - 4.5, pixel[0] - 1.5, 9, 3)


@pytest.mark.parametrize("padding, before", [("valid", 0), (1, 1), (((0, 1), (1, 0)), (0, 1))])
def test_strides_and_padding(padding, before, rng):
    before = np.broadcast_to(before, 2)
    x = rng.normal(size=(1, 12, 16, 2))
    layer = PacPool2D(3, strides=(2, 3), padding=padding)
    (kernel,), (frame,) = drawn(visualize.kernels(layer, x, [(1, 2)]), 1)
    center = (2 * 1 + 1 - before[0], 3 * 2 + 1 - before[1])
    expected = by_hand(x[0], center, (3, 3), (1, 1), inside(12, 16))
    np.testing.assert_allclose(kernel.filled(np.nan), expected, rtol=1e-5)
    assert frame == (center[1] - 1.5, center[0] - 1.5, 3, 3)


def test_a_tap_of_a_transposed_layer_without_a_pixel_is_blank(rng):
    x, guide = rng.normal(size=(1, 6, 8, 2)), rng.normal(size=(1, 12, 16, 3))
    layer = PacConv2DTranspose(4, 5, strides=2, padding=2, output_padding=1)
    pixels = [(4, 6), (5, 6), (5, 7), (11, 0)]
    kernels, frames = drawn(visualize.kernels(layer, [x, guide], pixels), 4)

    def met(row, column):  # output (0, 0) lies on the first sample
        return inside(12, 16)(row, column) and row % 2 == 0 and column % 2 == 0

    for pixel, kernel, frame in zip(pixels, kernels, frames):
        expected = by_hand(guide[0], pixel, (5, 5), (1, 1), met)
        np.testing.assert_allclose(kernel.filled(np.nan), expected, rtol=1e-5)
        assert frame == (pixel[1] - 2.5, pixel[0] - 2.5, 5, 5)
    assert [kernel.count() for kernel in kernels] == [9, 6, 4, 2]


def test_options_and_layout_are_those_of_the_layer(rng):
    x, guide = rng.normal(size=(1, 12, 16, 3)), rng.normal(size=(1, 12, 16, 3))
    options = {"kernel_type": "inverse", "alpha": 0.2, "exponent": 0.4, "channel_wise": True}
    layer = PacPool2D(3, padding="same", data_format="channels_first", **options)
    first = [np.moveaxis(image, -1, 1) for image in (x, guide)]
    (kernel,), _ = drawn(visualize.kernels(layer, first, [(5, 7)], IMAGE), 1)
    differences = guide[0, 4:7, 6:9] - guide[0, 5, 7]
    expected = (0.2 + (differences**2 + 1e-4) ** 0.2).mean(-1)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)


def test_the_scale_of_the_colours_is_common(rng):
    x = rng.normal(size=(1, 12, 16, 2))
    layer = PacPool2D(3, padding="same", normalize_kernel=True)
    figure = visualize.kernels(layer, x, [(3, 3), (8, 8), (0, 0)])
    kernels, _ = drawn(figure, 3)
    largest = max(kernel.max() for kernel in kernels)
    for axes in figure.axes[1:4]:
        assert axes.images[0].get_clim() == (0, pytest.approx(largest))


def test_a_window_below_each_kernel_shows_the_picture(rng):
    x = rng.normal(size=(1, 12, 16, 3))
    figure = visualize.kernels(PacConv2D(4, 3, padding="same"), x, [(5, 7), (0, 3)], IMAGE)
    for pixel, axes in zip([(5, 7), (0, 3)], figure.axes[3:5]):
        np.testing.assert_array_equal(axes.images[0].get_array(), IMAGE)
        assert axes.get_xlim() == (pixel[1] - 1.5, pixel[1] + 1.5)
        assert axes.get_ylim() == (pixel[0] + 1.5, pixel[0] - 1.5)


def test_without_pixels_those_at_edges_are_taken():
    x = np.zeros((1, 16, 16, 1))
    x[0, 5:, 4:7] = 3.0  # in the quarters on the left
    x[0, 3, 12] = x[0, 11, 13] = 3.0
    figure = visualize.kernels(PacConv2D(4, 3, padding="same"), x)
    kernels, frames = drawn(figure, 4)
    assert all(kernel.std() > 0.3 for kernel in kernels)
    centers = [(top + 1.5, left + 1.5) for left, top, _, _ in frames]
    quarters = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [(row // 8, column // 8) for row, column in centers] == quarters


def test_a_functional_model_has_a_row_for_each_layer(rng):
    picture = keras.Input((12, 16, 3))
    h = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="features")(picture)
    h = PacConv2D(4, 3, strides=1, padding="same", name="small")(h)
    y = PacConv2DTranspose(1, 3, strides=2, padding="same", name="large")([h, picture])
    model = keras.Model(picture, y)
    x = rng.random((1, 12, 16, 3)).astype("float32")
    figure = visualize.kernels(model, x, [(4, 9)], IMAGE)
    small, large = figure.subfigs
    assert (small.get_suptitle(), large.get_suptitle()) == ("small", "large")
    guide = keras.ops.convert_to_numpy(model.get_layer("features")(x))[0]
    (kernel,), (frame,) = drawn(small, 1)  # pixel (4, 9) of 12x16 is (2, 4) of 6x8
    assert frame == (4 - 1.5, 2 - 1.5, 3, 3)
    expected = by_hand(guide, (2, 4), (3, 3), (1, 1), inside(6, 8))
    np.testing.assert_allclose(kernel, expected, rtol=1e-4)
    (kernel,), (frame,) = drawn(large, 1)
    assert frame == (9 - 1.5, 4 - 1.5, 3, 3)
    expected = by_hand(x[0], (4, 9), (3, 3), (1, 1), inside(12, 16))
    np.testing.assert_allclose(kernel[~kernel.mask], expected[~kernel.mask], rtol=1e-4)
    for row in figure.subfigs:
        np.testing.assert_array_equal(row.axes[0].images[0].get_array(), IMAGE)


@pytest.mark.parametrize(
    "pixel, output",
    [((0, 0), (0, 0)), ((3, 11), (1, 5)), ((5, 7), (2, 3)), ((11, 15), (4, 6))],
)
def test_a_layer_shows_the_output_nearest_to_a_pixel_of_the_picture(pixel, output, rng):
    """Windows of 3 with stride 2 and no padding have their centres at 1, 3, 5 and so on."""
    model = keras.Sequential([PacPool2D(3, strides=2)])
    x = rng.random((1, 12, 16, 3))
    (kernel,), _ = drawn(visualize.kernels(model, x, [pixel]), 1)
    (expected,), _ = drawn(visualize.kernels(PacPool2D(3, strides=2), x, [output]), 1)
    np.testing.assert_array_equal(kernel, expected)


def test_pixels_that_are_chosen_for_a_model_are_those_of_its_first_layer():
    x = np.zeros((1, 32, 48, 3), "float32")
    x[0, 8, 12] = x[0, 8, 36] = x[0, 24, 12] = x[0, 24, 36] = 1
    model = keras.Sequential([keras.layers.MaxPooling2D(2), PacConv2D(4, 3, padding="same")])
    figure = visualize.kernels(model, x)
    kernels, frames = drawn(figure, 4)
    titles = [axes.get_title() for axes in figure.axes[1:5]]
    for title, (left, top, _, _), kernel in zip(titles, frames, kernels):
        row, column = (int(n) for n in title.strip("()").split(","))
        assert (row // 2, column // 2) == (top + 1.5, left + 1.5)
        assert kernel.std() > 0.2  # beside a spot


def test_models_of_other_kinds(rng):
    x = rng.random((2, 12, 16, 3)).astype("float32")
    inner = keras.Sequential([PacConv2D(2, 3, padding="same", guide_filters=2, name="deep")])
    model = keras.Sequential([keras.layers.Conv2D(3, 1), inner])
    figure = visualize.kernels(model, x)
    assert [row.get_suptitle() for row in figure.subfigs] == ["deep"]
    upsampler = PacJointUpsample(4)  # written as a class
    figure = visualize.kernels(upsampler, [x[:, ::4, ::4, :1], x])
    assert len(figure.subfigs) == len(upsampler.up_convts) == 2


class WrittenAsAClass(keras.Model):
    def __init__(self):
        super().__init__()
        self.pac = PacConv2D(2, 3, padding="same", name="pac")

    def call(self, x):
        return self.pac(x)


def test_a_model_that_is_not_built_has_a_row_for_each_call_and_none_for_building_it(rng):
    figure = visualize.kernels(WrittenAsAClass(), rng.random((1, 12, 16, 3)))
    assert [row.get_suptitle() for row in figure.subfigs] == ["pac"]


def test_a_layer_that_is_called_twice_has_two_rows(rng):
    layer = PacConv2D(3, 3, padding="same", name="shared")
    both = [keras.Sequential([keras.Input((12, 16, 3)), layer]) for _ in range(2)]
    figure = visualize.kernels(keras.Sequential(both), rng.random((1, 12, 16, 3)))
    assert [row.get_suptitle() for row in figure.subfigs] == ["shared", "shared"]
    assert "call" not in vars(layer)


def test_a_layer_that_is_never_called_is_named():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = PacConv2D(3, 3, name="unused")

        def call(self, x):
            return x

    with pytest.raises(ValueError, match="must call the layers.*Received.*'unused'"):
        visualize.kernels(Model(), X)


def test_a_k_that_a_model_gives_to_a_layer_is_drawn(rng):
    x = keras.Input((12, 16, 2))
    k = keras.Input((12, 16, 9))
    model = keras.Model([x, k], PacConv2D(1, 3, padding="same")(x, adapting_kernel=k))
    data = [rng.random((1, 12, 16, n)).astype("float32") for n in (2, 9)]
    (kernel,), _ = drawn(visualize.kernels(model, data, [(5, 7)]), 1)
    np.testing.assert_array_equal(kernel, data[1][0, 5, 7].reshape(3, 3))


def test_the_layer_stays_as_it_was(rng):
    x = rng.normal(size=(1, 12, 16, 3)).astype("float32")
    layer = PacConv2D(4, 3, padding="same")
    visualize.kernels(layer, x)
    with pytest.raises(ValueError, match="must have a type of"):
        visualize.kernels(layer, IMAGE[None])
    assert layer.built and "call" not in vars(layer)
    assert tuple(layer(x).shape) == (1, 12, 16, 4)


def test_nan_and_a_constant_guide_are_drawn():
    x = np.zeros((1, 12, 16, 5), "float32")
    visualize.kernels(PacConv2D(4, 3), x).savefig(io.BytesIO())
    x[0, 5, 5] = np.nan
    figure = visualize.kernels(PacConv2D(4, 3, padding="same"), x, [(5, 6)])
    figure.savefig(io.BytesIO())
    assert drawn(figure, 1)[0][0].count() == 8


X = np.zeros((1, 12, 16, 3), "float32")
LAYER = PacConv2D(4, 3, padding="same")
WRONG = {
    "no layer": (("conv", X), "must be one of", "str"),
    "another layer": ((keras.layers.Conv2D(3, 3), X), "must be one of", "Conv2D"),
    "a model without one": (
        (keras.Sequential([keras.layers.Conv2D(3, 3)]), X), "or a model that contains", "Sequential"
    ),
    "no array": ((LAYER, "x"), "arrays or tensors", "str"),
    "an empty batch": ((LAYER, X[:0]), "arrays or tensors", "(0, 12, 16, 3)"),
    "no batch": ((LAYER, X[0]), "4 dimensions", "(12, 16, 3)"),
    "batches of two sizes": ((LAYER, [X, np.zeros((2, 12, 16, 3), "float32")]), "must fit", "(2, "),
    "pixels of two lengths": ((LAYER, X, [(1, 2), (3,)]), "list of (row, column)", "(3,)"),
    "a guide that does not fit": ((LAYER, [X, X[:, 1:]]), "must fit", "(1, 11, 16, 3)"),
    "no pixel": ((LAYER, X, []), "at least one", "[]"),
    "half a pixel": ((LAYER, X, [(0.5, 1)]), "integers", "0.5"),
    "a single pixel": ((LAYER, X, (3, 4)), "list of (row, column)", "(3, 4)"),
    "a pixel outside": ((LAYER, X, [(0, 0), (12, 0)]), "12 rows and 16 columns", "(12, 0)"),
    "a negative pixel": ((LAYER, X, [(-1, 0)]), "12 rows and 16 columns", "(-1, 0)"),
    "an image of another size": (
        (LAYER, X, None, IMAGE[1:]), "height and width of the guide", "(11, 16, 3)"
    ),
    "an image of another range": ((LAYER, X, None, 2.0 * IMAGE), "from 0 to 1", "float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name):
    arguments, rule, received = WRONG[name]
    with refused(rule, received):
        visualize.kernels(*arguments)
    assert not LAYER.built  # nothing was computed


def test_a_model_without_an_image(rng):
    inputs = keras.Input((12 * 16 * 3,))
    model = keras.Model(inputs, PacConv2D(1, 3)(keras.layers.Reshape((12, 16, 3))(inputs)))
    with pytest.raises(ValueError, match="must be an image.*Received"):
        visualize.kernels(model, X.reshape(1, -1))

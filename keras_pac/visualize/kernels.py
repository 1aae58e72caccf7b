"""A picture of the adapting kernels that layers compute."""

import keras
import numpy as np

from keras_pac.layers.base_pac_layer import BasePacLayer
from keras_pac.ops._geometry.layout import shape_last
from keras_pac.visualize._colors import check_picture, guide_picture
from keras_pac.visualize._drawing import (
    add_bar,
    color_of,
    draw,
    need_matplotlib,
    new_figure,
    panel_size,
)
from keras_pac.visualize._kernel_map import KernelMap
from keras_pac.visualize._watched import first_image, layers_in, watch

KINDS = "PacConv2D, PacConv2DTranspose and PacPool2D"


def kernels(layer, inputs, pixels=None, image=None):
    """Draw the adapting kernels K(f_i, f_j) of a few pixels i, beside the picture around them.

    Beside the picture there is a column for each pixel: its K above, and below it what the window
    sees, which is framed in the same colour in the picture. A tap that meets no pixel of the input
    is grey: those beyond the border, and those on the zeros that a transposed convolution inserts;
    so is one whose K is not a number.
    All kernels of a layer have the same scale, from 0 to their largest value. A model has such a
    row for every call of a pixel-adaptive layer.

    Args:
        layer: a `PacConv2D`, `PacConv2DTranspose` or `PacPool2D` (of a `channel_wise` one, K is
            averaged over the channels), or a `keras.Model` of any kind that contains some, also in
            models inside it. It is called once, which builds it if it is not built.
        inputs: what the layer or the model is called with; of a batch the first image is drawn.
        pixels: list of (row, column). For a layer these are pixels of its output; for a model they
            are pixels of the picture, and each layer shows its output pixel nearest to them.
            None (default): in each quarter of the (first) layer's output, without a margin of an
            eighth, the pixel whose kernel varies most.
        image: the picture, array (H, W), (H, W, 1) or (H, W, 3), of uint8 or of floating-point type
            with colours from 0 to 1. For a layer it has the size of the guide, for a model that of
            the largest input. None (default): the guide of each layer; its principal components as
            in `keras_pac.visualize.features`, unless it has 1 or 3 channels.

    Returns:
        A `matplotlib.figure.Figure`, which a notebook shows; `figure.savefig("kernels.png")` saves
        it.

    Raises:
        ValueError: for a layer, inputs, pixels or an image that break a rule above.
        ImportError: if matplotlib is not installed.

    Example:
        >>> x, guide = keras.random.normal((1, 12, 16, 2)), keras.random.normal((1, 12, 16, 3))
        >>> layer = keras_pac.PacConv2D(4, 5, padding="same")
        >>> figure = keras_pac.visualize.kernels(layer, [x, guide], [(2, 3), (8, 9)])
        >>> [axes.get_title() for axes in figure.axes[:3]]
        ['guide', '(2, 3)', '(8, 9)']

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3
        (arXiv 1904.05373).
    """
    layers = layers_in(layer, BasePacLayer, KINDS)
    is_model = layer is not layers[0]
    one = first_image(inputs)
    picture_size, pixel_size = (_model_size if is_model else _layer_sizes)(layers[0], inputs)
    pixels = None if pixels is None else _check_pixels(pixels, pixel_size)
    if image is not None:
        reference = "the largest input" if is_model else "the guide"
        image = check_picture(image, picture_size, reference)
    need_matplotlib()

    calls = watch(layers, "_adapting_kernel", layer, one)
    maps = [KernelMap.of(each, *call) for each, call, _ in calls]
    if pixels is None:
        pixels = maps[0].most_varied()
        if is_model:
            pixels = [_to_size(maps[0].center(o), maps[0].picture, picture_size) for o in pixels]
    return _draw(maps, pixels, picture_size if is_model else None, image)


def _layer_sizes(layer, inputs):
    """(size of the picture, size of the output), both (height, width)."""
    shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)
    x_shape, guide_shape = layer._check_shapes(shapes)
    return tuple(guide_shape[1:3]), layer._output_size(x_shape[1:3])


def _model_size(layer, inputs):
    """The size of the largest input, twice: that of the picture and that of its pixels."""
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(inputs)]
    sizes = [shape_last(shape, layer.data_format)[1:3] for shape in shapes if len(shape) == 4]
    if not sizes:
        raise ValueError(
            f"An input of the model must be an image, with 4 dimensions. Received: shapes {shapes}"
        )
    largest = tuple(max(sizes, key=np.prod))
    return largest, largest


def _check_pixels(pixels, size):
    try:
        array = np.asarray(pixels)
    except ValueError:  # lists of several lengths
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or not len(array):
        raise ValueError(
            "`pixels` must be a list of (row, column), integers, at least one. "
            f"Received: pixels={pixels!r}"
        )
    if (array < 0).any() or (array >= size).any():
        raise ValueError(
            f"`pixels` must lie in {size[0]} rows and {size[1]} columns, counted from 0. "
            f"Received: pixels={pixels!r}"
        )
    return [tuple(pixel) for pixel in array.tolist()]


def _to_size(place, picture, size):
    """The pixel of an image of `size` at a place in the picture of a layer."""
    pixel = (int((p + 0.5) * s / n) for p, s, n in zip(place, size, picture.shape))
    return tuple(min(max(p, 0), s - 1) for p, s in zip(pixel, size))


def _draw(maps, pixels, size, image):
    """A row for each map; the pixels are those of an image of `size`, or of the output if None."""
    width, height = zip(*(panel_size(each.picture.shape[:2]) for each in maps))
    columns = len(pixels)
    figure = new_figure(2 * max(width) + 1.3 * columns + 0.8, sum(2 * h + 0.4 for h in height))
    rows = figure.subfigures(len(maps), 1, squeeze=False, height_ratios=height)[:, 0]
    for row, each in zip(rows, maps):
        outputs = pixels
        if size is not None:
            places = (
                [(p + 0.5) * n / s - 0.5 for p, n, s in zip(pixel, each.picture.shape, size)]
                for pixel in pixels
            )
            outputs = [each.output_at(place) for place in places]
            row.suptitle(each.name, fontsize=10)
        _draw_row(row, each, pixels, outputs, image)
    return figure


def _draw_row(figure, kernel_map, pixels, outputs, image):
    width = 2 * panel_size(kernel_map.picture.shape[:2])[0]
    grid = figure.add_gridspec(2, 1 + len(pixels), width_ratios=[width] + [1.3] * len(pixels))
    whole = figure.add_subplot(grid[:, 0])
    panels = [figure.add_subplot(grid[0, 1 + number]) for number in range(len(pixels))]
    # In pixels of the layer's own picture, whatever the size of the image.
    height, width = kernel_map.picture.shape[:2]
    style = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
    picture = guide_picture(kernel_map.picture) if image is None else image
    draw(whole, picture, "guide" if image is None else "picture", **style)
    chosen = [kernel_map.kernels[output] for output in outputs]
    largest = float(np.ma.filled(np.ma.stack(chosen).max(), 0)) or 1.0  # a scale needs a length
    for number, (pixel, output, kernel) in enumerate(zip(pixels, outputs, chosen)):
        color = color_of(number)
        drawn = draw(panels[number], kernel, cmap="viridis", vmin=0, vmax=largest)
        panels[number].set_title(f"({pixel[0]}, {pixel[1]})", fontsize=9, color=color)
        seen = figure.add_subplot(grid[1, 1 + number])
        draw(seen, picture, **style)
        (row, column), (rows, columns) = kernel_map.center(output), kernel_map.reach
        frame = (column - columns - 0.5, row - rows - 0.5, 2 * columns + 1, 2 * rows + 1)
        _mark(whole, (column, row), frame, color)
        seen.set_xlim(frame[0], frame[0] + frame[2])
        seen.set_ylim(frame[1] + frame[3], frame[1])
        for axes, anchor in ((panels[number], "S"), (seen, "N")):  # close to each other
            axes.spines[:].set(color=color, linewidth=2)
            axes.set_anchor(anchor)
    add_bar(figure, drawn, panels, "K")


def _mark(axes, place, frame, color):
    """Draw a window, and a ring around it that shows where a small one is."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(frame[:2], *frame[2:], fill=False, color=color, linewidth=1.5))
    axes.plot(*place, "o", markersize=16, fillstyle="none", color=color, markeredgewidth=1.5)

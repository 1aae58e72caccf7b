"""How figures and their panels are made. Nothing here imports matplotlib before it is needed."""

import importlib.util

import numpy as np

PANEL = 2.6  # inches, the longer side of a panel
BLANK = "0.85"  # the grey of what has no value


def need_matplotlib():
    """Raise an ImportError that says what to install, before anything is computed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            "keras_pac.visualize draws with matplotlib: pip install 'keras_pac[visualize]'"
        )


def new_figure(width, height):
    """An empty figure of a size in inches, which belongs to no window."""
    from keras_pac.visualize._notebook_figure import NotebookFigure

    return NotebookFigure((width, height), layout="constrained")


def new_panels(count, size, columns):
    """A figure, and `count` axes in rows of `columns`, for images of `size` (height, width)."""
    rows = -(-count // columns)
    width, height = panel_size(size)
    figure = new_figure(columns * (width + 0.6), rows * (height + 0.4))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for surplus in axes[count:]:
        surplus.remove()
    return figure, axes[:count]


def panel_size(size):
    """(width, height) in inches for an image of `size` (height, width)."""
    height, width = size[:2]
    return PANEL * width / max(height, width), PANEL * height / max(height, width)


def draw(axes, image, title="", **style):
    """Show an image (H, W) or (H, W, 1 or 3) without ticks; masked pixels are blank."""
    image = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(BLANK)
    # Nearest: what is drawn are the numbers, not a mean of neighbours.
    drawn = axes.imshow(image, **{"interpolation": "nearest", "cmap": "gray", **style})
    axes.autoscale(False)  # a mark beyond the border does not make the panel larger
    return drawn


def draw_signed(axes, image, title, largest):
    """Show signed numbers: red below 0, white at 0, blue above it; full from `largest` on."""
    return draw(axes, image, title, cmap="RdBu", vmin=-largest, vmax=largest)


def most_of(images):
    """The 99th percentile of the absolute values of images, so that few do not decide on the
    colours of all; 1 where that is 0, since a scale needs a length."""
    values = np.ma.concatenate([np.ma.masked_invalid(image).ravel() for image in images])
    values = np.abs(values.compressed())
    return float(np.quantile(values, 0.99)) or 1.0 if values.size else 1.0


def add_bar(figure, drawn, all_axes, label="", **style):
    """A colour bar beside axes."""
    bar = figure.colorbar(drawn, ax=all_axes, shrink=0.8, **style)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def color_of(number):
    """Colours that are easy to tell apart; they repeat after ten."""
    import matplotlib

    return matplotlib.colormaps["tab10"](number % 10)


def label_colors(count):
    """A list of colours, one for each of `count` labels."""
    import matplotlib

    if count <= 20:
        return list(matplotlib.colormaps["tab10" if count <= 10 else "tab20"].colors[:count])
    return list(matplotlib.colormaps["turbo"](np.linspace(0, 1, count)))

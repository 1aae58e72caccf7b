"""Pictures to look at: guide, input, results, truth and errors side by side."""

import matplotlib

matplotlib.use("Agg")  # writes files, needs no screen

import matplotlib.pyplot as plt
import numpy as np

from examples.files import atomic_write, mark_unknown_flow

LARGEST = 1000  # pixels of a panel's longer side; of larger images, every n-th pixel is shown


def save_comparison(path, guide, low, truth, results):
    """`low` is enlarged to the guide's size; `results` maps a method's name to its result."""
    step = -(-max(truth.shape[:2]) // LARGEST)
    guide, low, truth = (a[::step, ::step] for a in (guide, low, truth))
    results = {name: result[::step, ::step] for name, result in results.items()}
    if truth.shape[2] == 2:
        truth = mark_unknown_flow(truth)
        spread = np.nanmax(np.linalg.norm(truth, axis=-1))
        style = {}
    else:
        style = {"vmin": np.nanmin(truth), "vmax": np.nanmax(truth), "cmap": "viridis"}
        spread = style["vmax"] - style["vmin"]
    panels = {
        name: (flow_to_rgb(image, spread) if truth.shape[2] == 2 else image[..., 0], style)
        for name, image in {"low-res input": low, "truth": truth, **results}.items()
    }
    panels = {"guide": (guide, {}), **panels}
    error_style = {"vmin": 0, "vmax": max(spread, 1e-6) / 4, "cmap": "magma_r"}
    for name, result in results.items():
        panels[f"error, {name}"] = (np.linalg.norm(result - truth, axis=-1), error_style)

    columns = max(3, len(results))
    rows = 1 + 2 * -(-len(results) // columns)
    ratio = truth.shape[0] / truth.shape[1]
    size = (4 * columns, rows * (4 * ratio + 0.5))
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    names = list(panels)
    places = [*axes[0, :3], *axes[1 : 1 + rows // 2].flat[: len(results)]]
    places.extend(axes[1 + rows // 2 :].flat[: len(results)])
    for axis, name in zip(places, names, strict=True):
        image, style = panels[name]
        axis.imshow(image, interpolation="nearest", **style)
        axis.set_title(name, fontsize=14)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_write(path) as file:
            figure.savefig(file, dpi=100, format="png")
    finally:
        plt.close(figure)


def color_wheel():
    """The 55 hues of Baker et al., A Database and Evaluation Methodology for Optical Flow (2011).

    Six stretches between red, yellow, green, cyan, blue, magenta and red, with so many hues each
    that neighbours look equally different.
    """
    corners = np.array(
        [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float
    )
    counts = (15, 6, 4, 11, 13, 6)
    stretches = [
        first + (last - first) * np.arange(count)[:, None] / count
        for first, last, count in zip(corners, corners[1:], counts, strict=False)
    ]
    return np.concatenate(stretches)


def flow_to_rgb(flow, longest):
    """Direction as hue, length as saturation: white at rest, full colour at `longest`.

    Longer vectors are darker; unknown ones are black.
    """
    known = np.isfinite(flow).all(-1)
    u, v = np.moveaxis(np.where(known[..., None], flow, 0) / max(longest, 1e-9), -1, 0)
    wheel = color_wheel()
    angle = np.arctan2(-v, -u) / np.pi  # -1 to 1
    place = (angle + 1) / 2 * (len(wheel) - 1)
    first = np.floor(place).astype(int)
    share = (place - first)[..., None]
    hue = (1 - share) * wheel[first] + share * wheel[(first + 1) % len(wheel)]
    length = np.hypot(u, v)[..., None]
    rgb = np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return np.where(known[..., None], rgb, 0)

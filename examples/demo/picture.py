"""The side-by-side picture of the demo."""

import matplotlib

matplotlib.use("Agg")  # writes files, needs no screen

import matplotlib.pyplot as plt
import numpy as np


def save_picture(path, guide, low, truth, upsampled, region):
    """Guide, low-res input, results, truth and error maps of one region of the view.

    `upsampled` maps a method's name to its result; `low` is shown enlarged to the guide's size;
    `region` is a pair of slices; unknown pixels are left white.
    """
    panels = {"guide": guide, "low-res input": low, "truth": truth, **upsampled}
    for name, result in upsampled.items():
        panels[f"error, {name}"] = np.abs(result - truth)
    known = truth[region]
    colors = {"vmin": np.nanmin(known), "vmax": np.nanmax(known), "cmap": "viridis"}
    error_colors = {"vmin": 0, "vmax": (colors["vmax"] - colors["vmin"]) / 4, "cmap": "magma_r"}

    columns = len(upsampled)
    figure, axes = plt.subplots(3, columns, figsize=(4 * columns, 9), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=True):
        style = error_colors if name.startswith("error") else colors
        axis.imshow(panel[region], interpolation="nearest", **({} if name == "guide" else style))
        axis.set_title(name)
    figure.savefig(path, dpi=100)
    plt.close(figure)

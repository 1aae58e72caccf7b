"""Pictures to look at: image, predictions and truth side by side."""

import numpy as np
from PIL import Image

from examples.files import atomic_write

GAP = 4  # white columns between the panels
OPACITY = 0.5  # of labels over an image


def save_comparison(path, image, labels, palette):
    """The image and several labels of it, from left to right, in the palette's colours."""
    panels = [image, *(palette[label] for label in labels)]
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    _save(path, np.concatenate(row, 1))


def save_overlay(path, image, labels, palette):
    """The labels in the palette's colours over the image."""
    mixed = (1 - OPACITY) * image + OPACITY * palette[labels]
    _save(path, np.round(mixed).astype(np.uint8))


def _save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, "PNG")

"""Pictures of guides: many features as three colours."""

import numpy as np

from keras_pac.ops import checks

LEAST = 1e-6  # a component with a smaller share of the variance is rounding


def feature_colors(features):
    """(colours from 0 to 1, share of the variance in them) of finite features (H, W, G).

    Red, green and blue are the three principal components, each with its range from the 1st to the
    99th percentile. A component that is missing or constant is 0.5; a single one is grey.
    """
    height, width, channels = features.shape
    x = features.reshape(-1, channels).astype(np.float64)
    x = x / (np.abs(x).max() or 1)  # so that squares stay finite
    x = np.where(np.ptp(x, 0) > 0, x - x.mean(0), 0)  # a mean of equal numbers may be rounded
    variances, directions = np.linalg.eigh(x.T @ x)  # from the smallest to the largest
    variances, directions = variances[::-1][:3], directions[:, ::-1][:, :3]
    total = (x**2).sum()
    kept = variances > LEAST * total
    variances, directions = variances[kept], directions[:, kept]
    colors = np.full((height * width, 3), 0.5)
    if not kept.any():  # features that are the same everywhere
        return colors.reshape(height, width, 3), 1.0
    # An eigenvector may come with either sign: its largest entry decides.
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, range(len(largest))])
    components = x @ directions
    low, high = np.quantile(components, [0.01, 0.99], axis=0)
    # So rare a difference that the percentiles miss it is drawn in full.
    flat = high <= low
    low, high = (
        np.where(flat, end(components, axis=0), quantile)
        for end, quantile in ((np.min, low), (np.max, high))
    )
    components = np.clip((components - low) / (high - low), 0, 1)
    colors[:, : components.shape[1]] = components
    if components.shape[1] == 1:
        colors[:] = components
    return colors.reshape(height, width, 3), float(variances.sum() / total)


def guide_picture(guide):
    """A picture of a guide (H, W, G): as it is for a grey or an RGB one, else its colours."""
    guide = np.where(np.isfinite(guide), guide, 0)
    if guide.shape[2] not in (1, 3):
        return feature_colors(guide)[0]
    low, high = guide.min(), guide.max()
    return (guide - low) / (high - low or 1)


def check_picture(image, size, reference):
    """The image as (H, W, 1 or 3), which must have the size (H, W) of `reference`."""
    image = checks.grey_or_rgb("image", image)
    if image.shape[:2] != tuple(size):
        raise ValueError(
            f"`image` must have the height and width of {reference}, {tuple(size)}. "
            f"Received: shape {image.shape}"
        )
    return image

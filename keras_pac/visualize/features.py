"""A picture of a guide's features."""

import keras
import numpy as np

from keras_pac.ops import checks
from keras_pac.visualize._colors import check_picture, feature_colors
from keras_pac.visualize._drawing import draw, need_matplotlib, new_panels


def features(features, image=None):
    """Draw the features of a guide as colours: pixels of equal colour have similar features.

    Red, green and blue are the first three principal components p_1, p_2, p_3 of the features,

        colour_k = (p_k - q_1) / (q_99 - q_1), cut to [0, 1]

    with the 1st and 99th percentile of p_k over the image. The sign of a component is that with
    which its largest weight is positive. With a single component the picture is grey.

    Args:
        features: array or tensor (H, W, G) or (B, H, W, G), channels last, of floating-point type
            and finite; of a batch the first image is drawn.
        image: None (default), or the picture to draw beside them: array (H, W), (H, W, 1) or
            (H, W, 3), of uint8 or of floating-point type with colours from 0 to 1.

    Returns:
        A `matplotlib.figure.Figure`, which a notebook shows; `figure.savefig("features.png")`
        saves it. Its title says which share of the variance the colours show.

    Raises:
        ValueError: for arrays that break a rule above.
        ImportError: if matplotlib is not installed.

    Example:
        >>> guide = keras.random.normal((1, 12, 16, 8))
        >>> figure = keras_pac.visualize.features(guide)
        >>> figure.axes[0].get_title()
        'features: ... of the variance'
    """
    features = _check_features(features)
    image = None if image is None else check_picture(image, features.shape[:2], "`features`")
    need_matplotlib()
    colors, share = feature_colors(features)
    panels = {f"features: {share:.0%} of the variance": colors}
    if image is not None:
        panels = {"picture": image, **panels}
    figure, all_axes = new_panels(len(panels), features.shape[:2], len(panels))
    for axes, (title, panel) in zip(all_axes, panels.items()):
        draw(axes, panel, title, vmin=0)
    return figure


def _check_features(features):
    """The features as a float32 or float64 array (H, W, G)."""
    shape = tuple(getattr(features, "shape", np.shape(features)))
    if len(shape) not in (3, 4) or 0 in shape:
        raise ValueError(
            "`features` must be (height, width, channels) or (batch, height, width, channels), "
            f"not empty. Received: shape {shape}"
        )
    features = checks.float_tensor("features", features)
    features = keras.ops.convert_to_numpy(features[0] if len(shape) == 4 else features)
    if not np.isfinite(features).all():
        raise ValueError(
            "`features` must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(features))} numbers that are not"
        )
    return features

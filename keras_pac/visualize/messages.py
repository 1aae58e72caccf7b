"""A picture of what the pairwise kernels of a CRF say."""

import keras
import numpy as np

from keras_pac.layers import PacCRF
from keras_pac.ops._geometry.layout import image_last
from keras_pac.visualize._colors import check_picture, guide_picture
from keras_pac.visualize._drawing import (
    add_bar,
    draw,
    draw_signed,
    label_colors,
    most_of,
    need_matplotlib,
    new_panels,
)
from keras_pac.visualize._watched import as_array, first_image, layers_in, watch


def messages(crf, inputs, image=None, labels=None):
    """Draw the labels before and after a CRF, and between them what each pairwise kernel says.

    In a step, kernel k adds t_k = -w_k message_k(Q) to the logits. Drawn is its vote in the first
    step on the label c that leads before, c = argmax u:

        vote_k = t_k[c] - max over the other labels l of t_k[l]

    Above 0 (blue), kernel k speaks for the label before; below 0 (red), for another one; 0 (white)
    means that it does not care, as for a pixel without similar neighbours. Votes beyond the 99th
    percentile of their absolute values have the last colour of the scale.

    Args:
        crf: a `PacCRF` or `PacCRFLoose`, or a `keras.Model` of any kind that contains one (of
            several, the first that is called is drawn). It is called once.
        inputs: what the CRF or the model is called with; of a batch the first image is drawn.
        image: the picture, array (H, W), (H, W, 1) or (H, W, 3) of the size of the unary term, of
            uint8 or of floating-point type with colours from 0 to 1. None (default): the (first)
            features, their principal components as in `keras_pac.visualize.features` unless they
            have 1 or 3 channels.
        labels: list of str, a name for each label; None (default): their numbers.

    Returns:
        A `matplotlib.figure.Figure`, which a notebook shows; `figure.savefig("messages.png")` saves
        it.

    Raises:
        ValueError: for a layer, inputs, an image or labels that break a rule above.
        ImportError: if matplotlib is not installed.

    Example:
        >>> unary, features = keras.random.normal((1, 8, 9, 4)), keras.random.normal((1, 8, 9, 3))
        >>> crf = keras_pac.PacCRF({"kernel_size": 3, "compatibility": "potts"}, steps=3)
        >>> figure = keras_pac.visualize.messages(crf, [unary, features])
        >>> [axes.get_title() for axes in figure.axes[:4]]
        ['features', 'labels before', 'vote of kernel 1 (potts, 3x3)', 'labels after']

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2,
        equations 5 to 9 (arXiv 1904.05373).
    """
    crfs = layers_in(crf, PacCRF, "PacCRF and PacCRFLoose")
    inputs = first_image(inputs)
    if crf is crfs[0]:
        shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)
        image = _check(image, labels, crf._check_shapes(shapes)[0])
    need_matplotlib()
    layer, (unary, features, terms), after = watch(crfs, "_first_terms", crf, inputs)[0]
    unary, after = as_array(unary), as_array(image_last(after, layer.data_format))
    image = _check(image, labels, (1, *unary.shape))  # of a model, the size is known only now
    before = unary.argmax(-1)
    votes = [_vote(as_array(term), before) for term in terms]

    panels = len(votes) + 2 + (image is not None or bool(features))
    rows = -(-panels // 4)
    figure, all_axes = new_panels(panels, before.shape, -(-panels // rows))
    rest = iter(all_axes)
    if image is not None:
        draw(next(rest), image, "picture")
    elif features:
        draw(next(rest), guide_picture(as_array(features[0])), "features")
    names = [str(n) for n in range(unary.shape[2])] if labels is None else labels
    _draw_labels(next(rest), before, names, "labels before")
    largest = most_of(votes)
    for number, (vote, kernel) in enumerate(zip(votes, layer.kernels), start=1):
        size = "x".join(map(str, kernel.kernel_size))
        title = f"vote of kernel {number} ({kernel.compatibility}, {size})"
        drawn = draw_signed(next(rest), vote, title, largest)
    _draw_labels(next(rest), after.argmax(-1), names, "labels after")
    add_bar(figure, drawn, all_axes, "vote for the label before", extend="both")
    _legend(figure, names, np.union1d(before, after.argmax(-1)))
    return figure


def _check(image, labels, unary_shape):
    """The checked image, or None; `unary_shape` is channels last."""
    *size, channels = unary_shape[1:]
    names = isinstance(labels, (list, tuple)) and all(isinstance(name, str) for name in labels)
    if labels is not None and not (names and len(labels) == channels):
        raise ValueError(
            f"`labels` must be a list of {channels} names, one for each label. "
            f"Received: labels={labels!r}"
        )
    return None if image is None else check_picture(image, size, "the unary term")


def _vote(term, label):
    """term[label] minus the largest term of another label, at every pixel (H, W)."""
    of_label = np.take_along_axis(term, label[..., None], -1)
    others = np.where(np.arange(term.shape[-1]) == label[..., None], -np.inf, term)
    return of_label[..., 0] - others.max(-1)


def _draw_labels(axes, labels, names, title):
    from matplotlib.colors import ListedColormap

    colors = ListedColormap(label_colors(len(names)))
    draw(axes, labels, title, cmap=colors, vmin=-0.5, vmax=len(names) - 0.5)


def _legend(figure, names, drawn):
    """The names of the labels that are `drawn`."""
    from matplotlib.patches import Patch

    colors = label_colors(len(names))
    handles = [Patch(color=colors[label], label=names[label]) for label in drawn]
    columns = -(-len(handles) // 12)
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, ncols=columns)

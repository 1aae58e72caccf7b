"""Label probabilities that follow the colours of an image, without training."""

import keras
import numpy as np

from keras_pac.layers import PacCRF, PixelAdaptiveRefinement
from keras_pac.layers.pairwise_kernel import as_pairwise_kernels
from keras_pac.ops import checks, position_color_features

# Measured on blurred labels of drawn scenes and photographs: this kernel improves them; a larger
# weight, or far neighbours alone, make them worse.
KERNEL = {"kernel_size": 5, "compatibility": "potts", "weight": 0.3}
COLOR_SCALE = 0.1
STEPS = {"crf": 5, "pamr": 10}


def refine(
    probabilities,
    image,
    kernels=None,
    *,
    method="crf",
    color_scale=None,
    position_scale=None,
    steps=None,
    tile=512,
):
    """Make the label probabilities of an image follow its colours, without training.

        f = [y / position_scale, x / position_scale, colour / color_scale]
        result = softmax(CRF(log(probabilities), f))          method "crf"
        result = PAMR(probabilities, image)                   method "pamr"

    The CRF is a `PacCRF` with its initial weights, PAMR a `PixelAdaptiveRefinement`. Large images
    are computed in tiles, each with all pixels around it that can influence it (240 on each side
    for 10 iterations of PAMR). So the result is that of the whole image, and the memory beyond the
    two arrays does not grow with the image.

    Args:
        probabilities: array (H, W, C) of numbers from 0 to 1, those of each pixel's labels.
        image: array (H, W, 1 or more), of uint8 or of floating-point type with colours from 0 to 1.
        kernels: a `PairwiseKernel` or a dict of its arguments, or a list of these. None (default):
            one of compatibility "potts", 5x5, weight 0.3, which mends the borders of regions.
        method: "crf" (default), fast, for probabilities that are wrong near borders; or "pamr",
            which looks further, at up to 24 pixels in each of its steps, and takes neither kernels
            nor scales.
        color_scale: positive number, or a list with one for each kernel, in units of an image
            from 0 to 1. None (default): 0.1.
        position_scale: positive number in pixels, or a list with one for each kernel; None
            (default) leaves the position out.
        steps: int, steps of the CRF (default: 5) or iterations of PAMR (default: 10).
        tile: int, height and width of the tiles in pixels. Defaults to 512.

    Returns:
        The refined probabilities, a float32 array (H, W, C). Where a kernel has `blur`, the image
        is continued to a multiple of it by repeating its border, and cut back.

    Raises:
        ValueError: if the arrays don't fit, or for arguments that break a rule above or of
            `PacCRF`.

    Example:
        >>> import numpy as np
        >>> from keras_pac.models import refine
        >>> probabilities = np.full((40, 50, 2), 0.5, "float32")
        >>> probabilities[:, :20] = [0.9, 0.1]
        >>> probabilities[:, 30:] = [0.1, 0.9]
        >>> image = np.zeros((40, 50, 3), "uint8")
        >>> image[:, 25:] = 255
        >>> labels = refine(probabilities, image).argmax(-1)
        >>> bool((labels[:, :25] == 0).all() and (labels[:, 25:] == 1).all())
        True

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2
        (arXiv 1904.05373); Araslanov and Roth, Single-Stage Semantic Segmentation from Image
        Labels, CVPR 2020, section 4.2 (arXiv 2005.08104).
    """
    checks.one_of("method", method, ("crf", "pamr"))
    probabilities, image = _check_arrays(probabilities, image, method)
    checks.positive_integer("tile", tile)
    steps = STEPS[method] if steps is None else steps
    checks.positive_integer("steps", steps)
    given = {"kernels": kernels, "color_scale": color_scale, "position_scale": position_scale}
    given = {name: value for name, value in given.items() if value is not None}
    if method == "pamr" and given:
        raise ValueError(f'The method "pamr" takes no {" and no ".join(given)}. Received: {given}')
    make = {"crf": _by_crf, "pamr": _by_pamr}[method]
    function, reach, cell = make(steps, **given)
    reach, tile = _multiple(reach, cell), _multiple(tile, cell)

    height, width, _ = probabilities.shape
    result = np.empty(probabilities.shape, "float32")
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            rows, columns = (max(0, start - reach) for start in (top, left))
            ends = [start + tile + reach for start in (top, left)]
            part = [
                _whole_cells(array[rows : ends[0], columns : ends[1]], cell)
                for array in (probabilities, image)
            ]
            refined = function(*map(_batch_of_floats, part))
            refined = keras.ops.convert_to_numpy(refined)[0, top - rows :, left - columns :]
            region = result[top : top + tile, left : left + tile]
            region[:] = refined[: region.shape[0], : region.shape[1]]
    return result


def _by_crf(steps, kernels=KERNEL, color_scale=COLOR_SCALE, position_scale=None):
    """A function of two tensors, how far its pixels look, and the cell its images are made of."""
    kernels = as_pairwise_kernels(kernels)
    positions = checks.one_or_each("position_scale", position_scale, len(kernels), optional=True)
    colors = checks.one_or_each("color_scale", color_scale, len(kernels))
    scales = [
        (position, color)
        for kernel, position, color in zip(kernels, positions, colors)
        if kernel.takes_features
    ]
    crf = PacCRF(
        kernels,
        steps,
        "softmax",
        perturbed_init=False,
        data_format="channels_last",
        dtype="float32",
    )

    def function(probabilities, image):
        unary = np.log(np.maximum(probabilities, keras.config.epsilon()))
        features = [position_color_features(image, *each) for each in scales]
        return crf([unary, *features] if features else unary)

    cell = int(np.lcm.reduce([kernel.blur for kernel in kernels]))
    return function, steps * max(map(_reach, kernels)), cell


def _by_pamr(steps):
    """As `_by_crf`."""
    layer = PixelAdaptiveRefinement(iterations=steps, data_format="channels_last", dtype="float32")

    def function(probabilities, image):
        return layer([probabilities, image])

    return function, steps * max(layer.dilation_rates), 1


def _batch_of_floats(array):
    if array.dtype == np.uint8:
        array = array / np.float32(255)
    return array[None].astype("float32")


def _reach(kernel):
    """How far a pixel looks in one step, at most: its window, and the cells at its ends."""
    window = max(k // 2 * d for k, d in zip(kernel.kernel_size, kernel.dilation_rate))
    return kernel.blur * (window + 2) if kernel.blur > 1 else window


def _multiple(size, cell):
    return -(-size // cell) * cell


def _whole_cells(array, cell):
    """The array with its last row and column repeated up to a multiple of the cell."""
    if cell == 1:
        return array
    padding = [(0, -size % cell) for size in array.shape[:2]]
    return np.pad(array, [*padding, (0, 0)], mode="edge")


def _check_arrays(probabilities, image, method):
    probabilities, image = np.asarray(probabilities), np.asarray(image)
    for name, array in (("probabilities", probabilities), ("image", image)):
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"`{name}` must be an array (height, width, channels), not empty. "
                f"Received: shape {array.shape}"
            )
    if probabilities.shape[2] == 1 and method == "crf":
        raise ValueError(
            "`probabilities` must have a channel for each label, 2 or more. For a probability p of "
            f"one label give [1 - p, p]. Received: shape {probabilities.shape}"
        )
    if probabilities.shape[:2] != image.shape[:2]:
        raise ValueError(
            "`probabilities` and `image` must have the same height and width. "
            f"Received: shapes {probabilities.shape} and {image.shape}"
        )
    checks.from_0_to_1("probabilities", probabilities)
    checks.colors("image", image)
    return probabilities, image

"""Pixel-adaptive mask refinement."""

import keras
from keras import ops

from keras_pac.ops import checks, pac_pool2d
from keras_pac.ops._geometry.images import repeat_border
from keras_pac.ops._geometry.layout import image_last, image_to, shape_to
from keras_pac.ops._geometry.resize import resize_aligned
from keras_pac.ops._implementations.kernel_form import in_float32

AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
SHARPNESS = 0.1  # of the affinities: this share of the standard deviation counts as 1
LEAST_DEVIATION = 1e-8


@keras.saving.register_keras_serializable("keras_pac")
class PixelAdaptiveRefinement(keras.layers.Layer):
    """Make masks follow the colours of an image, without training (PAMR).

        m_i <- sum_j a_ij m_j                                          `iterations` times
        a_i = softmax over j of mean_c -|I_jc - I_ic| / (1e-8 + 0.1 s_ic)

    over the 8 neighbours j of pixel i at each dilation. s_ic is the standard deviation (with
    n - 1) of colour c over the 9 pixels of the windows of all dilations, so pixel i itself counts
    once for each. Beyond the border the image continues with its border pixels. A mask of another
    size than the image is first resized bilinearly, with corners that lie on corners. One iteration
    is a pixel-adaptive pooling for each dilation.

    Args:
        dilation_rates: int or list of ints, in pixels. Defaults to (1, 2, 4, 8, 12, 24).
        iterations: int. Defaults to 10.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Call arguments:
        inputs: `[mask, image]`, of floating-point types: what to refine, such as finite scores or
            probabilities of labels, and an image of any unit in which standard deviations are far
            above 1e-7.

    Input shape:
        mask (B, h, w, L) and image (B, H, W, C). With channels_first the channels come second.

    Output shape:
        (B, H, W, L); with channels_first (B, L, H, W).

    Returns:
        A tensor.

    Raises:
        ValueError: for arguments or shapes that break a rule above, before any computation.

    Example:
        >>> from keras_pac.layers import PixelAdaptiveRefinement
        >>> mask, image = keras.random.uniform((1, 8, 8, 21)), keras.random.uniform((1, 32, 32, 3))
        >>> PixelAdaptiveRefinement(dilation_rates=(1, 2, 4), iterations=5)([mask, image]).shape
        TensorShape([1, 32, 32, 21])

    Reference:
        Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels, CVPR 2020,
        section 4.2 (arXiv 2005.08104).
    """

    def __init__(
        self, dilation_rates=(1, 2, 4, 8, 12, 24), iterations=10, data_format=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.dilation_rates = checks.positive_integers("dilation_rates", dilation_rates)
        checks.positive_integer("iterations", iterations)
        self.iterations = int(iterations)
        self.data_format = checks.data_format(data_format)

    def build(self, input_shape):
        self._check_shapes(input_shape)

    def call(self, inputs):
        inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        self._check_shapes([tuple(tensor.shape) for tensor in inputs])
        for name, tensor in zip(("mask", "image"), inputs):
            checks.check_float(name, tensor.dtype)
        mask, image = (image_last(tensor, self.data_format) for tensor in inputs)
        mask = resize_aligned(mask, ops.shape(image)[1:3])
        affinities = [ops.cast(a, mask.dtype) for a in self._affinities(in_float32(image))]
        for _ in range(self.iterations):
            mask = self._weighted_mean(mask, affinities)
        return image_to(mask, self.data_format)

    def _affinities(self, image):
        """a, and 0 for the pixel itself: a tensor (B, H, W, 9) for each dilation."""
        differences = [neighbour - image for neighbour in self._neighbours(image)]
        count = 9 * len(self.dilation_rates)  # with the pixel itself, whose differences are 0
        mean = sum(differences) / count
        squares = sum(ops.square(difference) for difference in differences)
        variance = (squares - count * ops.square(mean)) / (count - 1)
        # Where all is of one colour, the slope of the root would be infinite.
        varies = variance > 0
        deviation = ops.where(varies, ops.sqrt(ops.where(varies, variance, 1)), 0)
        unit = LEAST_DEVIATION + SHARPNESS * deviation
        unit = unit * image.shape[-1]  # `ops.mean` computes float64 in float32 on JAX
        logits = [-ops.sum(ops.abs(d) / unit, axis=-1) for d in differences]
        itself, planes = ops.full_like(logits[0], -float("inf")), []
        for first in range(0, len(logits), 8):
            planes += [*logits[first : first + 4], itself, *logits[first + 4 : first + 8]]
        affinities = ops.softmax(ops.stack(planes, axis=-1), axis=-1)
        return ops.split(affinities, len(self.dilation_rates), axis=-1)

    def _neighbours(self, image):
        """The image moved to each of the 8 neighbours, for each dilation."""
        reach, (height, width) = max(self.dilation_rates), ops.shape(image)[1:3]
        image = repeat_border(image, reach)
        for rate in self.dilation_rates:
            for row, column in AROUND:
                top, left = reach + rate * row, reach + rate * column
                yield image[:, top : top + height, left : left + width]

    def _weighted_mean(self, mask, affinities):
        reach, (height, width) = max(self.dilation_rates), ops.shape(mask)[1:3]
        bordered, sums = repeat_border(mask, reach), []
        for rate, affinity in zip(self.dilation_rates, affinities):
            first = reach - rate
            part = bordered[:, first : first + height + 2 * rate, first : first + width + 2 * rate]
            sums.append(
                pac_pool2d(part, affinity, 3, dilation_rate=rate, data_format="channels_last")
            )
        return sum(sums)

    def _check_shapes(self, input_shape):
        """The checked channels_last shapes of mask and image."""
        shapes = checks.list_of_shapes("[mask, image]", input_shape)
        if len(shapes) != 2:
            raise ValueError(
                f"The layer is called with [mask, image]. Received: {len(shapes)} tensors"
            )
        mask, image = (
            checks.image(name, tuple(shape), self.data_format)
            for name, shape in zip(("mask", "image"), shapes)
        )
        if 0 in (*mask[1:3], *image[1:3]):
            raise ValueError(
                f"`mask` and `image` must have pixels. Received: shapes {mask} and {image} "
                "(channels last)"
            )
        checks.same_size("mask", mask, (image[0], None, None, None), "the batch of `image`")
        return mask, image

    def compute_output_shape(self, input_shape):
        mask, image = self._check_shapes(input_shape)
        return shape_to((*image[:3], mask[3]), self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "dilation_rates": self.dilation_rates,
            "iterations": self.iterations,
            "data_format": self.data_format,
        }

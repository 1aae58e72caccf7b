"""Joint upsampling by weighted means, with weights that a network finds."""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_pac.layers import PacConv2DTranspose
from keras_pac.models.joint_upsampler import (
    JointUpsampler,
    batch_to_channels,
    channels_to_batch,
    covering,
)
from keras_pac.ops import checks
from keras_pac.ops._geometry.resize import enlarge_bilinear

FACTORS = (2, 4, 8, 16)
SCENES = {
    n: Path(__file__).parent / "weights" / f"learned_bilateral_x{n}_scenes.weights.h5"
    for n in FACTORS
}
HALF = 24  # filters at half the size of the guide
SMALL = {2: 32, 4: 32, 8: 32, 16: 24}  # filters below that, for each factor
FEATURES = 8  # learned features that the adapting kernel compares, beside the colours
DILATIONS = (1, 2, 4, 1)  # of the convolutions in low resolution
LOCAL = 9  # low-res pixels: height and width of the neighbourhood that sets the local unit
FLAT = 0.002  # of a range of 1: differences that are much smaller than this don't count
LEAST_WEIGHT = 1e-20  # of interpolation, which takes over where no pixel of the window is alike


@keras.saving.register_keras_serializable("keras_pac")
class LearnedBilateralUpsample(JointUpsampler):
    """Joint bilateral upsampling with learned features and a learned correction.

        y_i = sum_j w_ij K_ij x_j / sum_j w_ij K_ij + r_i s_i,    K_ij = exp(-1/2 |f_i - f_j|^2)

    Every pixel is a weighted mean of about 16 target pixels x_j around it. The weights fall with
    the distance (w, a trained window of `4 * factor + 1` pixels) and where features f differ (K).
    That is a transposed PAC. A U-Net finds f and the correction r, from the guide and from the
    target in local units: x minus its mean, divided by its mean deviation s, over 9x9 low-res
    pixels. So a colour edge without a step in depth can be ignored. With r = 0 the result stays
    within the values around it; r sharpens targets that are averages of cells.

    A third input tells the network whether a target has one sample a cell or averages. Every
    channel of the target passes through it as an image of its own. An exported model takes two
    inputs.

    Args:
        factor: int, 2, 4, 8 or 16. How many times larger the result is than the target, in height
            and in width.
        weights: None (default) for random weights, "scenes" for weights that come with the package.
            They were trained on drawn scenes, with targets in [0, 1]; `keras_pac.upsample` takes
            arrays of any unit and size.
        **kwargs: `name`, `trainable` and `dtype` of a `keras.Model`.

    Input shape:
        A list `[target_low, guide]` or `[target_low, guide, kind]` of floating-point tensors:

        - target_low: (batch, height, width, channels), best in the range [0, 1]
        - guide: (batch, factor * height, factor * width, 3), in the range [0, 1]
        - kind: (batch, 1), 1 for targets that have one sample of each cell (its centre), -1 for
          averages (bicubic, area), 0 (default) where this is not known

    Output shape:
        (batch, factor * height, factor * width, channels), in the unit of the target.

    Returns:
        A `keras.Model`, called as `model([target_low, guide])`.

    Raises:
        ValueError: if `factor` or `weights` is none of those above, or, when called, if the sizes
            of the inputs do not fit.

    Example:
        >>> import numpy as np
        >>> from keras_pac.models import LearnedBilateralUpsample
        >>> model = LearnedBilateralUpsample(4, weights="scenes")
        >>> depth, rgb = np.ones((1, 6, 8, 1), "float32"), np.ones((1, 24, 32, 3), "float32")
        >>> tuple(model([depth, rgb]).shape)
        (1, 24, 32, 1)

    Reference:
        Kopf et al., Joint Bilateral Upsampling, SIGGRAPH 2007; as a PAC: Su et al., Pixel-Adaptive
        Convolutional Neural Networks, CVPR 2019, section 3.
    """

    def __init__(self, factor, weights=None, **kwargs):
        super().__init__(factor, **kwargs)
        checks.one_of("factor", factor, FACTORS)
        checks.one_of("weights", weights, (None, "scenes"))
        options = {"padding": "same", "data_format": "channels_last", "dtype": self.dtype_policy}

        def conv(filters, kernel_size=3, activation="relu", **kwargs):
            return layers.Conv2D(filters, kernel_size, activation=activation, **kwargs, **options)

        small = SMALL[factor]
        # Down to the size of the target.
        halvings = [HALF] + [small] * (self.factor.bit_length() - 2)
        self.reducing = [conv(filters, 4, strides=2) for filters in halvings]
        self.joining = conv(small)
        self.residual = [conv(small, dilation_rate=rate) for rate in DILATIONS]
        self.enlarging = [conv(filters) for filters in halvings[-2::-1]]
        self.head = layers.Conv2DTranspose(FEATURES + 1, 4, strides=2, **options)
        window = 4 * factor + 1
        self.sums = PacConv2DTranspose(
            2,
            window,
            strides=factor,
            **covering(window, factor),
            use_bias=False,
            shared_filters=True,
            kernel_constraint="non_neg",
            data_format="channels_last",
            # In half precision weights far below 1 would not count.
            dtype="float64" if self.compute_dtype == "float64" else "float32",
        )
        self.build_for_any_size()
        if weights == "scenes":
            self.load_weights(SCENES[factor])

    def build(self, input_shape):
        def build_all(convolutions, channels):
            for layer, more in convolutions:
                layer.build((None, None, None, channels + more))
                channels = layer.filters
            return channels

        channels = build_all([(layer, 0) for layer in self.reducing], 3 + 1)
        channels = build_all(
            [(self.joining, 3)] + [(layer, 0) for layer in self.residual], channels
        )
        skips = [layer.filters for layer in self.reducing[-2::-1]]
        channels = build_all(zip(self.enlarging, skips), channels)
        build_all([(self.head, 0)], channels)
        self.sums.build([(None, None, None, 2), (None, None, None, FEATURES + 3)])
        window = self.sums.kernel_size[0]
        # A Gaussian: joint bilateral upsampling, to begin with.
        bell = np.exp(-0.5 * (1.8 / self.factor * (np.arange(window) - window // 2)) ** 2)
        self.sums.kernel.assign(np.outer(bell, bell)[:, :, None, None])
        self.color_scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(4.0), name="color_scale"
        )

    def compute_output_shape(self, input_shape):
        both, kind = _without_kind(input_shape)
        output_shape = super().compute_output_shape(both)
        if kind is not None:
            checks.rank("kind", kind, 2)
            checks.same_size("kind", kind, (output_shape[0], 1), "the batch, one number an example")
        return output_shape

    def check_inputs(self, inputs):
        """Return (target_low, guide, kind or None), or raise a ValueError."""
        both, kind = _without_kind(inputs)
        target, guide = super().check_inputs(both)
        if kind is not None:
            self.compute_output_shape([x.shape for x in inputs])
        return target, guide, kind

    def call(self, inputs):
        target_low, guide, kind = self.check_inputs(inputs)
        channels = ops.shape(target_low)[3]
        x = channels_to_batch(target_low)
        _, height, width, _ = ops.shape(guide)
        # LiteRT's converter must know the number of channels, which `ops.repeat` forgets.
        guide = ops.reshape(ops.repeat(guide, channels, axis=0), (-1, height, width, 3))
        local, spread, contrast = _local_units(x)
        if kind is None:
            kind = ops.zeros_like(x[:, 0, 0])
        else:
            kind = ops.repeat(ops.cast(kind, x.dtype), channels, axis=0)

        enlarged = enlarge_bilinear(
            ops.concatenate([x, local, spread], axis=3), (self.factor, self.factor)
        )
        interpolated, local_enlarged, spread = ops.split(enlarged, 3, axis=3)
        known = [local, contrast, ops.ones_like(x) * kind[:, None, None]]
        features, correction = self._features(guide, local_enlarged, known)
        both = self.sums([ops.concatenate([x, ops.ones_like(x)], axis=3), features])
        weighted, weights = ops.split(both, 2, axis=3)
        interpolated = ops.cast(interpolated, weights.dtype)
        mean = (weighted + LEAST_WEIGHT * interpolated) / (weights + LEAST_WEIGHT)
        return batch_to_channels(ops.cast(mean, x.dtype) + correction * spread, channels)

    def _features(self, guide, local_enlarged, known):
        """The features f and the correction r, in the size of the guide."""
        h, skips = ops.concatenate([guide, local_enlarged], axis=3), []
        for layer in self.reducing:
            h = layer(h)
            skips.append(h)
        h = self.joining(ops.concatenate([h, *known], axis=3))
        for layer in self.residual:
            h = h + layer(h)
        for layer, skip in zip(self.enlarging, skips[-2::-1]):
            h = layer(ops.concatenate([_doubled(h), skip], axis=3))
        h = self.head(h)
        features = [2 * ops.tanh(h[..., :FEATURES]), self.color_scale * guide]
        return ops.concatenate(features, axis=3), h[..., FEATURES:]

    @property
    def reach(self):
        units = 2 * (LOCAL // 2)  # the mean, and the mean deviation from it
        network = 1 + 3 + 1 + sum(DILATIONS) + 3  # interpolation, and the convolutions
        return self.reach_of(units + network, self.sums.kernel_size[0] // 2)


def _doubled(h):
    """Twice as high and wide, without interpolation; `ops.repeat` would forget the channels."""
    batch, height, width, channels = ops.shape(h)
    h = ops.reshape(ops.stack([h, h], axis=2), (batch, 2 * height, width, channels))
    return ops.reshape(ops.stack([h, h], axis=3), (batch, 2 * height, 2 * width, channels))


def _without_kind(inputs):
    """[target_low, guide] and the third input, or None."""
    three = isinstance(inputs, (list, tuple)) and len(inputs) == 3
    return (inputs[:2], inputs[2]) if three else (inputs, None)


def _local_units(x):
    """x in its local unit, that unit, and its logarithm."""
    mean = _local_mean(x)
    spread = _local_mean(ops.abs(x - mean))
    return (x - mean) / (spread + FLAT), spread, ops.log(spread + FLAT) / 4


def _local_mean(x):
    return ops.average_pool(x, LOCAL, strides=1, padding="same", data_format="channels_last")

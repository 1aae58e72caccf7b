"""Pixel-adaptive transposed convolution layer."""

import keras

from keras_pac.layers.base_pac_conv2d import BasePacConv2D
from keras_pac.ops import checks
from keras_pac.ops._geometry.layout import mirrored
from keras_pac.ops._geometry.window import transposed_window


@keras.saving.register_keras_serializable("keras_pac")
class PacConv2DTranspose(BasePacConv2D):
    """Transposed 2D convolution whose filter is multiplied with a kernel of guide features.

    It upsamples: the result is the pixel-adaptive convolution with the mirrored filter, after
    `strides - 1` zeros are inserted between the pixels of x. No time is spent on the zeros. With a
    constant guide this is `keras.layers.Conv2DTranspose`.

    Args:
        filters: int, number of output channels.
        kernel_size: odd int or pair of odd ints, (rows, columns).
        strides: int or pair of ints, the factor of upsampling. Defaults to 1.
        padding: "valid" (default) or "same", with the output size of
            `keras.layers.Conv2DTranspose`; or int p, (rows, columns) or
            ((top, bottom), (left, right)), the pixels cropped from the full output:
            OH = (H - 1) * strides - 2 p + dilation_rate * (kh - 1) + 1 + output_padding.
        output_padding: None (default), int or pair of ints smaller than `strides`.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        dilation_rate: int or pair of ints. Defaults to 1.
        activation: activation function or its name; None (default) means none.
        use_bias: bool. Defaults to True.
        kernel_initializer: initializer of the filter. Defaults to "glorot_uniform".
        bias_initializer: initializer of the bias. Defaults to "zeros".
        kernel_regularizer: regularizer of the filter, or None (default).
        bias_regularizer: regularizer of the bias, or None (default).
        activity_regularizer: regularizer of the output, or None (default).
        kernel_constraint: constraint on the filter, or None (default).
        bias_constraint: constraint on the bias, or None (default).
        kernel_type: "gaussian" (default), `K = exp(-1/2 |f_j - f_i|^2)`, or "inverse",
            `K = alpha + (|f_j - f_i|^2 + 1e-4)^(exponent / 2)`.
        asymmetric: bool, count only features that are larger than the centre's. Defaults to False.
        alpha: number, at least 0, the initial value of alpha; required for "inverse".
        exponent: number, at least 0, the initial value of exponent; required for "inverse".
        trainable_kernel: bool, whether alpha and exponent are trained. Defaults to True.
        smoothing: filter of the guide at the centre pixel: None (default), "gaussian" (3x3
            binomial), ("average", n), or ("learned", n), trained from the average on; n odd.
        normalize_kernel: bool, divide K by its sum over the window. Defaults to False.
        shared_filters: bool, one filter (kh, kw, 1, 1) for all channels, each by itself. Needs
            `filters` equal to the number of input channels. Defaults to False.
        guide_filters: None (default), or the number of features of a trainable 1x1 embedding of
            the input as its guide (bilinearly enlarged by `strides`).
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Call arguments:
        inputs: x, which then guides itself (bilinearly enlarged by `strides`), or
            [x, guide].
        adapting_kernel: a K computed before, instead of a guide; see
            `keras_pac.ops.adapting_kernel`.
        valid_mask: 1 where an input pixel counts, else 0 (or between, for pixels that count
            in part). The result is then (y, output_mask): K is divided by the valid fraction of the
            window (by its sum with `normalize_kernel`), and output_mask is 1 where a valid pixel
            was seen.

    Input shape:
        x (B, H, W, C) and guide (B, OH, OW, G), the size of the **output**; `adapting_kernel`
        (B, OH, OW, kh * kw), `valid_mask` (B, H, W, 1). With channels_first the channels
        (taps) come second.

    Output shape:
        (B, OH, OW, filters), and (B, OH, OW, 1) for the output mask.

    Returns:
        A tensor, or a pair of tensors where a `valid_mask` is given.

    Raises:
        ValueError: for arguments or shapes that break a rule above, before any computation.

    Example:
        >>> x, guide = keras.random.normal((1, 8, 8, 3)), keras.random.normal((1, 16, 16, 16))
        >>> layer = keras_pac.PacConv2DTranspose(4, 5, strides=2, padding="same")
        >>> layer([x, guide]).shape
        TensorShape([1, 16, 16, 4])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.1
        (arXiv 1904.05373).
    """

    _transposed = True

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        kernel_type="gaussian",
        asymmetric=False,
        alpha=None,
        exponent=None,
        trainable_kernel=True,
        smoothing=None,
        normalize_kernel=False,
        shared_filters=False,
        guide_filters=None,
        **kwargs,
    ):
        super().__init__(
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            kernel_type=kernel_type,
            asymmetric=asymmetric,
            alpha=alpha,
            exponent=exponent,
            trainable_kernel=trainable_kernel,
            smoothing=smoothing,
            normalize_kernel=normalize_kernel,
            shared_filters=shared_filters,
            guide_filters=guide_filters,
            **kwargs,
        )
        self.output_padding = checks.output_padding(output_padding, self.strides)

    def _window(self, size):
        return transposed_window(
            size,
            self.kernel_size,
            self.strides,
            self.padding,
            self.output_padding,
            self.dilation_rate,
        )

    def _filter_channels(self, channels):
        return self.filters, channels

    def _filter(self):
        return mirrored(super()._filter())

    def get_config(self):
        return {**super().get_config(), "output_padding": self.output_padding}

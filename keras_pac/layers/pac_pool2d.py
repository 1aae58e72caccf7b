"""Pixel-adaptive pooling layer."""

import keras

from keras_pac.layers.base_pac_layer import BasePacLayer


@keras.saving.register_keras_serializable("keras_pac")
class PacPool2D(BasePacLayer):
    """2D pooling whose weights are a kernel of guide features.

    `y_i = sum_j K(f_i, f_j) * x_j` for every channel, over the window of output pixel i, with the
    features f of a guide. With a constant guide and `normalize_kernel` this is average pooling.

    Args:
        kernel_size: odd int or pair of odd ints, (rows, columns).
        strides: int or pair of ints. Defaults to 1.
        padding: "valid" (default), "same", int, (rows, columns) or
            ((top, bottom), (left, right)), in pixels.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        dilation_rate: int or pair of ints. Defaults to 1.
        kernel_type: "gaussian" (default), `K = exp(-1/2 |f_j - f_i|^2)`, or "inverse",
            `K = alpha + (|f_j - f_i|^2 + 1e-4)^(exponent / 2)`.
        asymmetric: bool, count only features that are larger than the centre's. Defaults to False.
        alpha: number, at least 0, the initial value of alpha; required for "inverse".
        exponent: number, at least 0, the initial value of exponent; required for "inverse".
        trainable_kernel: bool, whether alpha and exponent are trained. Defaults to True.
        smoothing: filter of the guide at the centre pixel: None (default), "gaussian" (3x3
            binomial), ("average", n), or ("learned", n), trained from the average on; n odd.
        normalize_kernel: bool, divide K by its sum over the window. Defaults to False.
        channel_wise: bool, leave out the sum over channels in `|f_j - f_i|^2`: each channel of the
            guide weights the same channel of x, with an alpha and exponent of its own. Needs as
            many guide channels as input channels. Defaults to False.
        guide_filters: None (default), or the number of features of a trainable 1x1 embedding of
            the input as its guide.
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Call arguments:
        inputs: x, which then guides itself, or [x, guide].
        adapting_kernel: a K computed before, instead of a guide; see
            `keras_pac.ops.adapting_kernel`.
        valid_mask: 1 where an input pixel counts, else 0 (or between, for pixels that count
            in part). The result is then (y, output_mask): K is divided by the valid fraction of the
            window (by its sum with `normalize_kernel`), and output_mask is 1 where a valid pixel
            was seen.

    Input shape:
        x (B, H, W, C) and guide (B, H, W, G); `adapting_kernel` (B, OH, OW, kh * kw),
        or (B, OH, OW, kh * kw, C) if `channel_wise`; `valid_mask` (B, H, W, 1). With
        channels_first the channels (taps) come second.

    Output shape:
        (B, OH, OW, C), and (B, OH, OW, 1) for the output mask.

    Returns:
        A tensor, or a pair of tensors where a `valid_mask` is given.

    Raises:
        ValueError: for arguments or shapes that break a rule above, before any computation.

    Example:
        >>> x, guide = keras.random.normal((1, 8, 8, 3)), keras.random.normal((1, 8, 8, 16))
        >>> layer = keras_pac.PacPool2D(3, strides=2, padding="same", normalize_kernel=True)
        >>> layer([x, guide]).shape
        TensorShape([1, 4, 4, 3])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 3
        (arXiv 1904.05373).
    """

    def _check_channels(self, channels, guide_channels):
        if self.channel_wise and guide_channels != channels:
            raise ValueError(
                "With `channel_wise` the guide must have as many channels as the inputs. "
                f"Received: a guide of {guide_channels} channels for inputs of {channels}"
            )

    def get_config(self):
        return {**super().get_config(), "channel_wise": self.channel_wise}

"""One step of mean-field inference, with its weights."""

import keras
import numpy as np
from keras import ops

from keras_pac.ops import pac_conv2d
from keras_pac.ops._geometry.cells import average_cells, enlarge_cells
from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import current


class MeanFieldStep(keras.layers.Layer):
    """Q <- softmax(w_u unary - sum_k w_k message_k(Q)), or without softmax; images channels last.

    The caller computes w_u unary, since several steps may share it. Where a message has the size of
    the image, its windowed sum starts with the terms before it, and the last one ends with the
    softmax. So neither takes a pass over the image of its own.

    Args:
        kernels: list of `PairwiseKernel`.
        unary_weight: number, the initial value of w_u.
        fixed_weighting: bool, whether w_u and w_k are constants.
        perturbed_init: bool, whether filters start with a little noise.
    """

    def __init__(self, kernels, unary_weight, fixed_weighting, perturbed_init, **kwargs):
        super().__init__(**kwargs)
        self.kernels = kernels
        self.unary_weight = unary_weight
        self.fixed_weighting = fixed_weighting
        self.perturbed_init = perturbed_init

    def build(self, input_shape):
        channels = input_shape[-1]
        self.w_u = self._scalar("unary_weight", self.unary_weight, not self.fixed_weighting)
        self._parts = [self._build_kernel(i, k, channels) for i, k in enumerate(self.kernels)]

    def _build_kernel(self, index, kernel, channels):
        """(w_k, filter, compatibility matrix or None)."""
        potts = kernel.compatibility == "potts"
        # Equal labels attract each other: their message adds to the logits.
        weight = -kernel.weight if potts else kernel.weight
        trainable = potts and not kernel.spatial_filter and not self.fixed_weighting
        w_k = self._scalar(f"pairwise_weight_{index}", weight, trainable)
        if not kernel.spatial_filter:
            filter = ops.convert_to_tensor(_ones(kernel.kernel_size), self.compute_dtype)
        else:
            start = _gaussian(kernel.kernel_size)
            if not kernel.shares_filter:
                start = start * (1 - np.eye(channels))
            filter = self.add_weight(
                shape=start.shape,
                initializer=_Start(start, 5e-4 if self.perturbed_init else 0),
                name=f"filter_{index}",
            )
        compatibility = None
        if kernel.compatibility == "2d":
            compatibility = self.add_weight(
                shape=(channels, channels),
                initializer=_Start(1 - np.eye(channels), 0),
                name=f"compatibility_{index}",
            )
        return w_k, filter, compatibility

    def _scalar(self, name, value, trainable):
        if not trainable:
            return value
        constant = keras.initializers.Constant(np.float64(value))  # all digits, see BasePacLayer
        return self.add_weight(shape=(), initializer=constant, name=name)

    def call(self, q, weighted_unary, adapting_kernels, softmax):
        kernels = list(zip(self.kernels, self._parts, adapting_kernels))
        return self._subtract(weighted_unary, q, kernels, softmax)

    def terms(self, q, adapting_kernels):
        """What each kernel alone adds to the logits: -w_k message_k(Q)."""
        kernels = zip(self.kernels, self._parts, adapting_kernels)
        return [self._subtract(ops.zeros_like(q), q, [each], False) for each in kernels]

    def _subtract(self, result, q, kernels, softmax):
        """`result` minus the messages of `kernels`: (kernel, its parts, K) each."""
        pooled = {}  # several kernels may share a blur
        fused = []
        for kernel, parts, adapting_kernel in kernels:
            if kernel.blur == 1 and kernel.takes_features:
                fused.append((kernel, parts, adapting_kernel))
                continue
            if kernel.blur not in pooled:
                pooled[kernel.blur] = average_cells(q, kernel.blur)
            x, filter = _weighted(pooled[kernel.blur], *parts)
            options = {"padding": "same", "dilation_rate": kernel.dilation_rate}
            options["data_format"] = "channels_last"
            if adapting_kernel is None:
                message = ops.conv(x, filter, **options)
            else:
                message = pac_conv2d(x, adapting_kernel, filter, **options)
            result = result - enlarge_cells(message, kernel.blur, ops.shape(q)[1:3])
        for number, (kernel, parts, adapting_kernel) in enumerate(fused, start=1):
            w_k, filter, compatibility = parts
            x, filter = _weighted(q, -w_k, filter, compatibility)
            size, dilation_rate = ops.shape(q)[1:3], kernel.dilation_rate
            window = convolution_window(size, kernel.kernel_size, (1, 1), "same", dilation_rate)
            adapting_kernel = ops.expand_dims(adapting_kernel, -1)
            is_last = number == len(fused)
            result = current().windowed_sum(
                x, adapting_kernel, filter, window, bias=result, softmax=softmax and is_last
            )
        return ops.softmax(result, axis=-1) if softmax and not fused else result


def _weighted(q, weight, filter, compatibility):
    """(q times the matrix of compatibilities, filter), one of which has the weight in it.

    Each costs less to weight than the message. The matrix is the same for all taps, so it may be
    applied to Q instead of the message.
    """
    if compatibility is None:
        return q, ops.convert_to_tensor(weight * filter)
    # Keras's matmul computes float64 in float32 with PyTorch.
    return ops.einsum("bhwi,ij->bhwj", q, weight * compatibility), ops.convert_to_tensor(filter)


@keras.saving.register_keras_serializable("keras_pac")
class _Start(keras.initializers.Initializer):
    """A constant array plus uniform noise."""

    def __init__(self, value, noise):
        self.value = value
        self.noise = noise

    def __call__(self, shape, dtype=None):
        value = ops.convert_to_tensor(self.value, dtype)
        if not self.noise:
            return value
        return value + keras.random.uniform(shape, -self.noise, self.noise, dtype=dtype)


def _ones(kernel_size):
    filter = np.ones((*kernel_size, 1, 1))
    filter[kernel_size[0] // 2, kernel_size[1] // 2] = 0
    return filter


def _gaussian(kernel_size):
    """(kh, kw, 1, 1): a Gaussian with sigma = size / 4 and mean 1, without its centre."""
    axes = [np.exp(-0.5 * ((np.arange(k) - k // 2) / (k / 4)) ** 2) for k in kernel_size]
    filter = np.outer(*axes)
    filter = filter / filter.mean()
    filter[kernel_size[0] // 2, kernel_size[1] // 2] = 0
    return filter[:, :, None, None]

"""The form of an adapting kernel, and the value that it gives to a distance of features.

A new form gets its name in `KERNEL_TYPES` and its formula in `KernelForm.similarity`; what the
compiled core needs, `custom_ops/core/keras_pac.h` lists at `kpac_kernel_type`.
"""

import dataclasses

import keras
from keras import ops

KERNEL_TYPES = ("gaussian", "inverse")  # in the order of kpac_kernel_type
# Keeps the slope of the inverse kernel finite where two features are equal; KPAC_INVERSE_EPSILON.
INVERSE_EPSILON = 1e-4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class KernelForm:
    """Everything but the guide and the window that decides on an adapting kernel.

    Args:
        kind: "gaussian" or "inverse".
        alpha, exponent: of the inverse kernel: scalars, or vectors (G,) if `channel_wise`.
        asymmetric: bool, whether only features larger than the centre's count.
        smoothing: None, or an (n, n) filter of the guide at the centre.
        channel_wise: bool, whether every channel has a K of its own.
        normalize: bool, whether K is divided by its sum over the window.
    """

    kind: str
    alpha: object = None
    exponent: object = None
    asymmetric: bool = False
    smoothing: object = None
    channel_wise: bool = False
    normalize: bool = False

    def similarity(self, distance):
        """The kernel's value for a squared distance of features."""
        if self.kind == "gaussian":
            return ops.exp(-0.5 * distance)
        alpha = ops.convert_to_tensor(self.alpha, distance.dtype)
        exponent = ops.convert_to_tensor(self.exponent, distance.dtype)
        return alpha + ops.power(distance + INVERSE_EPSILON, exponent / 2)

    def smoothed(self, guide):
        """The guide with every channel filtered, for the centre pixel; None without smoothing."""
        if self.smoothing is None:
            return None
        dtype, guide = guide.dtype, in_float32(guide)
        smoothing = ops.convert_to_tensor(self.smoothing, guide.dtype)
        smoothing = ops.tile(smoothing[:, :, None, None], (1, 1, guide.shape[-1], 1))
        batch = ops.shape(guide)[0]
        if guide.shape[0] in (None, 0):
            # TensorFlow's gradient by the filter of an empty batch would be uninitialised memory.
            guide = ops.pad(guide, ((0, 1), (0, 0), (0, 0), (0, 0)))
        image = ops.depthwise_conv(guide, smoothing, padding="same", data_format="channels_last")
        image = image[:batch] if guide.shape[0] in (None, 1) else image
        return ops.cast(image, dtype)


def in_float32(image):
    """A float16 or bfloat16 image in float32; others as they are."""
    if keras.backend.standardize_dtype(image.dtype) in ("float16", "bfloat16"):
        return ops.cast(image, "float32")
    return image

"""The sizes and options of a problem."""

import dataclasses

TYPES = ("float16", "bfloat16", "float32", "float64")
KERNEL_TYPES = ("gaussian", "inverse")
FILTER_TYPES = ("pooling", "shared", "full")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """`kpac_sizes` of keras_pac.h: the same fields in the same order, pairs as tuples."""

    batch: int
    input_size: tuple
    guide_size: tuple
    output_size: tuple
    input_channels: int
    guide_channels: int
    output_channels: int
    kernel_size: tuple
    strides: tuple
    input_dilation: tuple
    dilation: tuple
    padding: tuple
    guide_padding: tuple
    type: str
    kernel_type: str
    filter_type: str
    asymmetric: bool = False
    channel_wise: bool = False
    normalize: bool = False
    bias_image: bool = False
    softmax: bool = False

    def of_gradient(self):
        """The sizes for a gradient function, which leaves an image and a softmax to its caller."""
        return dataclasses.replace(self, bias_image=False, softmax=False)

    @property
    def taps(self):
        """How many positions the window has."""
        return self.kernel_size[0] * self.kernel_size[1]

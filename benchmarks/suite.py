"""The shapes that the benchmarks measure: the suite, and cases beside it.

It imports only the standard library: the harness of the core measures the same shapes on machines
without TensorFlow.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """A layer and the size of its images: channels last, padding 'same'."""

    name: str
    batch: int
    height: int
    width: int
    channels: int
    filters: int
    guide_channels: int
    kernel_size: int
    dilation_rate: int = 1
    strides: int = 1
    layer: str = "PacConv2D"
    options: dict = field(default_factory=dict)  # keyword arguments of the PAC layer alone
    dtype: str = "float32"  # the layer's policy

    @property
    def transposed(self):
        return self.layer == "PacConv2DTranspose"

    @property
    def input_shape(self):
        return (self.batch, self.height, self.width, self.channels)

    @property
    def guide_shape(self):
        height, width = self.output_shape[1:3] if self.transposed else self.input_shape[1:3]
        return (self.batch, height, width, self.guide_channels)

    @property
    def output_shape(self):
        def size(length):
            return length * self.strides if self.transposed else -(-length // self.strides)

        return (self.batch, size(self.height), size(self.width), self.filters)


SUITE = [
    Case("upsample-128", 1, 128, 128, 32, 32, guide_channels=16, kernel_size=5),
    Case("upsample-256", 1, 256, 256, 32, 32, guide_channels=16, kernel_size=5),
    Case("thin", 1, 480, 640, 16, 16, guide_channels=16, kernel_size=5),
    Case("classic", 4, 64, 64, 64, 64, guide_channels=32, kernel_size=3),
    Case("hot-swap", 4, 56, 56, 256, 256, guide_channels=64, kernel_size=3),
    Case("crf", 1, 375, 500, 21, 21, guide_channels=3, kernel_size=5, dilation_rate=16),
    Case("transposed", 1, 120, 160, 32, 32, 16, 5, strides=2, layer="PacConv2DTranspose"),
]

INVERSE = {"kernel_type": "inverse", "alpha": 0.5, "exponent": 0.8}
_128 = (1, 128, 128, 32, 32, 16)
_56 = (4, 56, 56, 256, 256, 64, 3)
BESIDE = [
    Case("pooling", 1, 256, 256, 32, 32, guide_channels=16, kernel_size=3, layer="PacPool2D"),
    Case("shared", 1, 256, 256, 32, 32, 16, kernel_size=5, options={"shared_filters": True}),
    Case("inverse", *_128, kernel_size=5, options=INVERSE),
    Case("deep", 8, 8, 8, 512, 512, guide_channels=16, kernel_size=3),
    Case("picture", 1, 512, 512, 3, 16, guide_channels=3, kernel_size=3),
    Case("smoothing", *_128, kernel_size=5, options={"smoothing": "gaussian"}),
    Case("normalized", *_128, kernel_size=5, options={"normalize_kernel": True}),
    Case("7x7", *_128, kernel_size=7),
    Case("wide-guide", 4, 28, 28, 256, 256, guide_channels=256, kernel_size=3),
    Case("strided", 4, 64, 64, 64, 64, guide_channels=32, kernel_size=3, strides=2),
    Case("bfloat16", *_128, kernel_size=5, dtype="mixed_bfloat16"),
    Case("bfloat16-56", *_56, dtype="mixed_bfloat16"),
    Case("float16", *_128, kernel_size=5, dtype="mixed_float16"),
    Case("float16-56", *_56, dtype="mixed_float16"),
]

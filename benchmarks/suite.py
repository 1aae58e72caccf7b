"""The shapes of the benchmark suite.

It imports only the standard library: the harness of the core measures the same shapes on machines
without TensorFlow.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A layer and the size of its images: float32, channels last, padding 'same'."""

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
    transposed: bool = False

    @property
    def input_shape(self):
        return (self.batch, self.height, self.width, self.channels)

    @property
    def guide_shape(self):
        return self.output_shape[:3] + (self.guide_channels,)

    @property
    def output_shape(self):
        # Only transposed cases have strides.
        return (self.batch, self.height * self.strides, self.width * self.strides, self.filters)


SUITE = [
    Case("upsample-128", 1, 128, 128, 32, 32, guide_channels=16, kernel_size=5),
    Case("upsample-256", 1, 256, 256, 32, 32, guide_channels=16, kernel_size=5),
    Case("thin", 1, 480, 640, 16, 16, guide_channels=16, kernel_size=5),
    Case("classic", 4, 64, 64, 64, 64, guide_channels=32, kernel_size=3),
    Case("hot-swap", 4, 56, 56, 256, 256, guide_channels=64, kernel_size=3),
    Case("crf", 1, 375, 500, 21, 21, guide_channels=3, kernel_size=5, dilation_rate=16),
    Case("transposed", 1, 120, 160, 32, 32, 16, kernel_size=5, strides=2, transposed=True),
]

"""The settings of one pairwise kernel of a CRF."""

import dataclasses

import keras

from keras_pac.ops import checks

COMPATIBILITIES = ("4d", "2d", "potts", "none")


@keras.saving.register_keras_serializable("keras_pac")
@dataclasses.dataclass(frozen=True)
class PairwiseKernel:
    """One pairwise kernel of `PacCRF`: how the labels of neighbouring pixels influence each other.

    The message of a kernel is the sum over its window of K (the adapting kernel of the features),
    times a filter, times the neighbours' label probabilities.

    Args:
        kernel_size: odd int or pair of odd ints, the window. Defaults to 3.
        compatibility: which labels go together:
            - "4d" (default): a trainable filter for every pair of labels and every tap
            - "2d": one filter for all labels, then a trainable matrix over pairs of labels
            - "potts": one filter for all labels; equal labels attract each other
            - "none": as "4d", without K: a plain convolution that needs no features
        dilation_rate: int or pair of ints, spacing of the taps. Defaults to 1.
        blur: int. Probabilities and features are averaged over cells of blur x blur pixels first,
            and the message is enlarged again. Defaults to 1.
        spatial_filter: bool, for "2d" and "potts". True (default): the filter starts as a Gaussian
            and is trained; False: it is fixed to ones, with 0 at the centre.
        weight: number, the weight of the message. Defaults to 1, with which the neighbours outweigh
            most networks at first: 0.1 to 0.3 lets a trained network decide.

    Raises:
        ValueError: for arguments that break a rule above.

    Example:
        >>> from keras_pac import PairwiseKernel
        >>> PairwiseKernel(5, "potts", blur=4).compatibility
        'potts'

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2,
        equations 7 to 9 (arXiv 1904.05373).
    """

    kernel_size: int | tuple = 3
    compatibility: str = "4d"
    dilation_rate: int | tuple = 1
    blur: int = 1
    spatial_filter: bool = True
    weight: float = 1.0

    def __post_init__(self):
        def keep(name, value):
            object.__setattr__(self, name, value)  # the class is frozen

        keep("kernel_size", checks.kernel_size(self.kernel_size))
        keep("dilation_rate", checks.pair("dilation_rate", self.dilation_rate))
        checks.positive_integer("blur", self.blur)
        checks.boolean("spatial_filter", self.spatial_filter)
        if self.compatibility not in COMPATIBILITIES:
            raise ValueError(
                f"`compatibility` must be one of {COMPATIBILITIES}. "
                f"Received: compatibility={self.compatibility!r}"
            )
        if not (self.spatial_filter or self.shares_filter):
            raise ValueError(
                '`spatial_filter` may be False only for "2d" and "potts": others have no filter '
                f"to fix. Received: compatibility={self.compatibility!r}, spatial_filter=False"
            )
        checks.number("weight", self.weight)

    @property
    def shares_filter(self):
        """Whether one filter serves all labels."""
        return self.compatibility in ("2d", "potts")

    @property
    def takes_features(self):
        return self.compatibility != "none"

    def get_config(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def as_pairwise_kernels(value):
    """A list of `PairwiseKernel`, from all that `PacCRF` takes as `kernels`."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ValueError("`kernels` must have at least one pairwise kernel. Received: []")
    return [as_pairwise_kernel(value) for value in values]


def as_pairwise_kernel(value):
    """A `PairwiseKernel`, or one from a dict of its arguments."""
    if isinstance(value, PairwiseKernel):
        return value
    if isinstance(value, dict):
        if "class_name" in value:
            value = keras.saving.deserialize_keras_object(value)
            if isinstance(value, PairwiseKernel):
                return value
        else:
            try:
                return PairwiseKernel(**value)
            except TypeError:
                pass
    names = [field.name for field in dataclasses.fields(PairwiseKernel)]
    raise ValueError(
        f"A pairwise kernel must be a PairwiseKernel or a dict with some of {names}. "
        f"Received: {value!r}"
    )

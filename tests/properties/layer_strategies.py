"""Layers with every argument drawn."""

import keras
from hypothesis import strategies as st

from keras_pac import PacConv2D, PacConv2DTranspose, PacCRF, PacCRFLoose, PacPool2D, PairwiseKernel
from keras_pac.initializers import BilinearUpsampling
from keras_pac.layers import PositionColorFeatures
from keras_pac.layers.crop_like import CropLike
from keras_pac.layers.log_probabilities import LogProbabilities
from keras_pac.layers.resize_like import ResizeLike
from tests.properties.strategies import FEW, ODD, geometries, one_or_two, sizes

FORMATS = st.sampled_from(["channels_last", "channels_first"])
NUMBERS = st.sampled_from([0.5, 0.25, 1.5, 2])
INITIALIZERS = st.one_of(
    st.sampled_from(["zeros", "ones", "he_normal"]),
    st.builds(keras.initializers.RandomNormal, stddev=NUMBERS, seed=FEW),
)
# Those of Keras 3.10 take float32 only.
REGULARIZERS = st.one_of(
    st.none(), st.just("l1"), st.builds(keras.regularizers.L2, st.sampled_from([0.25, 0.5]))
)
CONSTRAINTS = st.one_of(
    st.none(), st.just("non_neg"), st.builds(keras.constraints.MaxNorm, NUMBERS)
)
# What Keras's base class takes.
BASE = {
    "dtype": st.sampled_from(["float32", "float64", "mixed_float16", "bfloat16"]),
    "trainable": st.booleans(),
    "name": st.sampled_from(["layer", "another"]),
}
OPERATIONS = {PacConv2D: "conv", PacConv2DTranspose: "transposed", PacPool2D: "pool"}
GUIDED = tuple(OPERATIONS)
FIELDS = (PacCRF, PacCRFLoose)
OTHERS = (PositionColorFeatures, ResizeLike, CropLike, LogProbabilities)


@st.composite
def guided_layers(draw, kind, channels):
    """(arguments of a pixel-adaptive layer, input size)."""
    operation = OPERATIONS[kind]
    arguments = draw(geometries(operation))
    size = draw(sizes(operation, arguments))
    inverse = draw(st.booleans())
    options = {
        "data_format": FORMATS,
        "kernel_type": st.just("inverse" if inverse else "gaussian"),
        "asymmetric": st.booleans(),
        "alpha": NUMBERS if inverse else st.none(),
        "exponent": NUMBERS if inverse else st.none(),
        "trainable_kernel": st.booleans(),
        "smoothing": st.sampled_from(
            [None, "gaussian", ("average", 3), ("learned", 3), ("learned", 5)]
        ),
        "normalize_kernel": st.booleans(),
        "guide_filters": st.one_of(st.none(), FEW),
        **BASE,
    }
    if kind is PacPool2D:
        options["channel_wise"] = st.booleans()
    else:
        start = INITIALIZERS
        if kind is PacConv2DTranspose:
            bilinear = st.builds(BilinearUpsampling, one_or_two(FEW), st.booleans())
            start = st.one_of(INITIALIZERS, bilinear)
        options |= {
            "filters": FEW,
            "shared_filters": st.booleans(),
            "activation": st.sampled_from([None, "relu", "tanh", "softplus"]),
            "use_bias": st.booleans(),
            "kernel_initializer": start,
            "bias_initializer": INITIALIZERS,
            "kernel_regularizer": REGULARIZERS,
            "bias_regularizer": REGULARIZERS,
            "activity_regularizer": REGULARIZERS,
            "kernel_constraint": CONSTRAINTS,
            "bias_constraint": CONSTRAINTS,
        }
    arguments |= {key: draw(option) for key, option in options.items()}
    if arguments["dtype"] != "float32":
        arguments |= {key: None for key in arguments if key.endswith("regularizer")}
    if arguments.get("shared_filters"):
        arguments["filters"] = channels
    if arguments.get("channel_wise") and arguments["guide_filters"]:
        arguments["guide_filters"] = channels
    return arguments, size


@st.composite
def pairwise_kernels(draw):
    """The arguments of a `PairwiseKernel`, all given."""
    compatibility = draw(st.sampled_from(["4d", "2d", "potts", "none"]))
    return {
        "kernel_size": draw(one_or_two(ODD)),
        "compatibility": compatibility,
        "dilation_rate": draw(one_or_two(st.integers(1, 2))),
        "blur": draw(FEW),
        "spatial_filter": compatibility in ("4d", "none") or draw(st.booleans()),
        "weight": draw(st.sampled_from([1.0, 0.5, -2, 0])),
    }


@st.composite
def random_fields(draw, **fixed):
    """The arguments of a `PacCRF`; kernels are given in each of their forms."""
    kernels = draw(st.lists(pairwise_kernels(), min_size=1, max_size=2))
    options = {
        "steps": FEW,
        "output": st.sampled_from(["logits", "softmax", "log_softmax"]),
        "unary_weight": NUMBERS,
        "fixed_weighting": st.booleans(),
        "perturbed_init": st.booleans(),
        "data_format": FORMATS,
        **BASE,
    }
    given = kernels if draw(st.booleans()) else [PairwiseKernel(**kernel) for kernel in kernels]
    drawn = {key: draw(option) for key, option in options.items() if key not in fixed}
    return {"kernels": given, **drawn, **fixed}


@st.composite
def other_layers(draw, kind):
    """The arguments of one of `OTHERS`."""
    options = {
        PositionColorFeatures: {
            "color_scale": NUMBERS,
            "position_scale": st.one_of(st.none(), NUMBERS),
            "data_format": FORMATS,
        },
        ResizeLike: {"data_format": FORMATS, "scale": NUMBERS},
        CropLike: {"first": st.integers(0, 2)},
        LogProbabilities: {},
    }[kind]
    return {key: draw(option) for key, option in {**options, **BASE}.items()}

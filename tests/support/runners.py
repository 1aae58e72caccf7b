"""Run a `Case` through the functional ops or a layer, on whatever backend Keras has."""

import numpy as np

import keras_pac
from keras_pac import ops
from tests.support.cases import load_golden, load_golden_config

KERNEL_OPTIONS = ("alpha", "exponent", "smoothing", "valid_mask")


def to_channels_first(array):
    """(B, H, W, C) as (B, C, H, W)."""
    return np.moveaxis(array, -1, 1)


def run_ops(case, arrays, data_format="channels_last"):
    """Return (y, K, output_mask) by the functional ops.

    Image-like arrays and a given K have to be in `data_format` already.
    """
    geometry = {**case.geometry, "data_format": data_format}
    output_mask = None
    if "adapting_kernel" in arrays:
        adapting = arrays["adapting_kernel"]
    else:
        adapting = ops.adapting_kernel(
            arrays["guide"],
            case.kernel_size,
            transposed=case.operation == "transposed",
            **geometry,
            **case.options,
            **{name: arrays[name] for name in KERNEL_OPTIONS if name in arrays},
        )
        if "valid_mask" in arrays:
            adapting, output_mask = adapting
    if case.operation == "pool":
        y = ops.pac_pool2d(arrays["x"], adapting, case.kernel_size, **geometry)
    else:
        function = {"conv": ops.pac_conv2d, "transposed": ops.pac_conv2d_transpose}[case.operation]
        y = function(arrays["x"], adapting, arrays["kernel"], arrays.get("bias"), **geometry)
    return y, adapting, output_mask


# Where a layer keeps the weights of a Case.
WEIGHTS = {
    "kernel": "kernel",
    "bias": "bias",
    "alpha": "alpha_weight",
    "exponent": "exponent_weight",
    "smoothing": "smoothing_weight",
}


def golden_layer(name, dtype):
    """The layer that a golden file describes, with its weights."""
    config, case = load_golden_config(name), load_golden(name)
    kind, *kernel_numbers = config["kernel_type"].split("_")
    smoothing, _, window = config["smooth_kernel_type"].partition("_")
    arguments = {
        **case.geometry,
        "kernel_size": case.kernel_size,
        "kernel_type": case.options["kind"],
        "asymmetric": case.options["asymmetric"],
        "normalize_kernel": case.options["normalize"],
        "trainable_kernel": "fixed" not in kernel_numbers,
        "smoothing": {
            "none": None,
            "gaussian": "gaussian",
            "average": ("average", int(window or 0)),
            "full": ("learned", int(window or 0)),
        }[smoothing],
        "dtype": dtype,
    }
    if kind == "inv":
        arguments.update(alpha=float(kernel_numbers[0]), exponent=float(kernel_numbers[1]))
    if case.operation == "pool":
        layer = keras_pac.PacPool2D(channel_wise=case.options["channel_wise"], **arguments)
    else:
        layers = {"conv": keras_pac.PacConv2D, "transposed": keras_pac.PacConv2DTranspose}
        layer = layers[case.operation](
            config["out_channels"],
            use_bias=config["bias"],
            shared_filters=config["shared_filters"],
            **arguments,
        )
    layer.build([case.arrays[key].shape for key in ("x", "guide") if key in case.arrays])
    for key, attribute in WEIGHTS.items():
        if key in case.arrays and hasattr(layer, attribute):
            getattr(layer, attribute).assign(case.arrays[key])
    return layer

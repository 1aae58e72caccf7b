"""Run a `Case` through the functional ops or a layer, on whatever backend Keras has."""

import numpy as np

from keras_pac import ops

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

"""The public functions by the reference of the core, for comparison only.

There is no formula of PAC here, only the way from public arguments to the sizes of the reference:
padding, strides, output padding, layouts, and the smoothing filter. Nothing of it comes from
`keras_pac`. Gradients are taken by an imaginary step through the result, exact to rounding: never
from formulae of gradients.
"""

import numpy as np

from custom_ops.harness import reference
from custom_ops.harness.sizes import Sizes


def pair(value):
    """Return an int or a pair of ints as a pair."""
    return (value, value) if isinstance(value, int) else tuple(value)


def _of_convolution(n, k, s, d, padding, _):
    """(padding before, output size) of one axis."""
    reach = (k - 1) * d
    if padding == "valid":
        before = after = 0
    elif padding == "same":
        total = max((-(-n // s) - 1) * s + reach + 1 - n, 0)
        before, after = total // 2, total - total // 2
    else:
        before, after = padding
    return before, (n + before + after - reach - 1) // s + 1


def _of_transposed(n, k, s, d, padding, extra):
    """The same for the image with zeros between its pixels.

    'valid' and 'same' give the output sizes of `keras.layers.Conv2DTranspose`.
    """
    reach = (k - 1) * d
    full = (n - 1) * s + reach + 1
    if padding == "valid":
        cropped, out = 0, full + (max(s - reach - 1, 0) if extra is None else extra)
    elif padding == "same":
        out = n * s if extra is None else (n - 1) * s + (reach + 1) % 2 + extra
        cropped = max(full - out, 0) // 2
    else:
        cropped, after = padding
        out = full - cropped - after + (extra or 0)
    return reach - cropped, out


def _axes(case, size):
    """((padding before, ...), (output size, ...)) for an input of `size`."""
    geometry, named = case.geometry, isinstance(case.geometry["padding"], str)
    padding = [geometry["padding"]] * 2 if named else [pair(p) for p in pair(geometry["padding"])]
    extra = geometry.get("output_padding")
    axis = _of_transposed if case.operation == "transposed" else _of_convolution
    of_axes = zip(
        size,
        pair(case.kernel_size),
        pair(geometry["strides"]),
        pair(geometry["dilation_rate"]),
        padding,
        (None, None) if extra is None else pair(extra),
    )
    return tuple(zip(*(axis(*arguments) for arguments in of_axes)))


def output_size(case, size):
    """The output size of a case for an input of `size`."""
    return _axes(case, size)[1]


def _sizes(case, arrays):
    """The sizes of a case for the reference."""
    batch, *size, channels = arrays["x"].shape
    padding, out = _axes(case, size)
    strides, dilation = pair(case.geometry["strides"]), pair(case.geometry["dilation_rate"])
    transposed = case.operation == "transposed"
    centred = tuple(k // 2 * d for k, d in zip(case.kernel_size, dilation))
    filter_type, filters = "pooling", channels
    if case.operation != "pool":
        ends = arrays["kernel"].shape[2:]
        filter_type = "shared" if ends == (1, 1) else "full"
        filters = channels if filter_type == "shared" else ends[0 if transposed else 1]
    return Sizes(
        batch=batch,
        input_size=tuple(size),
        guide_size=out if transposed else tuple(size),
        output_size=out,
        input_channels=channels,
        guide_channels=arrays["guide"].shape[-1] if "guide" in arrays else 0,
        output_channels=filters,
        kernel_size=pair(case.kernel_size),
        strides=(1, 1) if transposed else strides,
        input_dilation=strides if transposed else (1, 1),
        dilation=dilation,
        padding=padding,
        guide_padding=centred if transposed else padding,
        type="float64",
        kernel_type=case.options["kind"],
        filter_type=filter_type,
        asymmetric=case.options["asymmetric"],
        channel_wise=case.options["channel_wise"],
        normalize=case.options["normalize"],
    )


def _smooth(guide, window):
    """Filter every channel of the guide with `window`, zero-padded."""
    (rows, columns), (height, width) = window.shape, guide.shape[1:3]
    padded = np.pad(guide, ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)))
    return sum(
        weight * padded[:, y : y + height, x : x + width]
        for (y, x), weight in np.ndenumerate(window)
    )


def _flat_filter(case, filter, sizes):
    """A public filter as (T, Cin, Cout) or (T,); that of a transposed function is mirrored."""
    if case.operation == "transposed":
        filter = filter[::-1, ::-1].transpose(0, 1, 3, 2)
    return filter.reshape(sizes.taps, *(filter.shape[2:] if sizes.filter_type == "full" else ()))


def run_oracle(case, arrays):
    """Return (y, K, output_mask) of a case, with these arrays."""
    sizes, output_mask = _sizes(case, arrays), None
    if "adapting_kernel" in arrays:
        adapting = arrays["adapting_kernel"]
        adapting = adapting[..., None] if adapting.ndim == 4 else adapting
    else:
        inputs = {name: arrays.get(name) for name in ("guide", "alpha", "exponent")}
        if "smoothing" in arrays:
            inputs["center"] = _smooth(arrays["guide"], arrays["smoothing"])
        if "valid_mask" in arrays:
            inputs["valid_mask"] = arrays["valid_mask"][..., 0]
        adapting, output_mask = reference.adapting_kernel(sizes, inputs)
    inputs = {"x": arrays["x"], "adapting_kernel": adapting, "bias": arrays.get("bias")}
    if "kernel" in arrays:
        inputs["filter"] = _flat_filter(case, arrays["kernel"], sizes)
    y = reference.windowed_sum(sizes, inputs)
    public = adapting if case.options["channel_wise"] else adapting[..., 0]
    return y, public, None if output_mask is None else output_mask[..., None]


def gradient_of(function, array):
    """Gradient of a real scalar `function` of `array`, by an imaginary step for every element."""
    step = 1e-30
    result = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype("complex128")
        moved[index] += 1j * step
        result[index] = function(moved).imag / step
    return result


def oracle_loss(case, name):
    """Return sum(y * grad_y) as a function of the array called `name`."""
    return lambda array: (run_oracle(case, {**case.arrays, name: array})[0] * case.grad_y).sum()


def oracle_gradients(case):
    """The gradient of sum(y * grad_y) by every source of a case."""
    return {
        name: gradient_of(oracle_loss(case, name), array) for name, array in case.sources.items()
    }

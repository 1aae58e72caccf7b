"""Test cases of the three operations, one form for all: golden files, random draws, the oracle."""

import dataclasses
import functools
import json
import pathlib
import zlib

import numpy as np
import oracle

GOLDEN = pathlib.Path(__file__).parent / "golden"
GOLDEN_NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
OPERATIONS = ("conv", "transposed", "pool")
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


@dataclasses.dataclass
class Case:
    """One call of an operation, with what it should give. Arrays are channels_last.

    `arrays` holds what the result depends on: `x`, `guide` or a given `adapting_kernel`, `kernel`,
    `bias`, `alpha`, `exponent`, `smoothing`, `valid_mask`. `gradients` holds the gradients of
    sum(y * grad_y), by the same names.
    """

    operation: str
    kernel_size: tuple
    geometry: dict
    options: dict
    arrays: dict
    grad_y: np.ndarray
    y: np.ndarray
    adapting_kernel: np.ndarray | None
    output_mask: np.ndarray | None
    gradients: dict


def channels_last(array):
    """(B, C, H, W) as (B, H, W, C)."""
    return array.transpose(0, 2, 3, 1)


def taps_last(adapting_kernel):
    """A golden K (B, 1, kh, kw, OH, OW) as (B, OH, OW, taps)."""
    b, _, kh, kw, oh, ow = adapting_kernel.shape
    return adapting_kernel.reshape(b, kh * kw, oh, ow).transpose(0, 2, 3, 1)


def filters_last(operation, weight):
    """A golden filter in the layout of Keras; that of a transposed layer is mirrored."""
    weight = weight.transpose(2, 3, 1, 0)
    return weight[::-1, ::-1] if operation == "transposed" else weight


def load_golden_config(name):
    """The settings of a golden file, as they are written there."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        return json.loads(str(data["config"]))


@functools.lru_cache(maxsize=None)
def load_golden(name):
    """Read a golden file as a Case."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        data = dict(file)
    config = json.loads(str(data.pop("config")))
    operation = {"pac_conv2d": "conv", "pac_conv2d_transpose": "transposed", "pac_pool2d": "pool"}[
        config["op"]
    ]
    convert = {
        "x": ("x", channels_last),
        "guide": ("guide", channels_last),
        "weight": ("kernel", functools.partial(filters_last, operation)),
        "bias": ("bias", np.asarray),
        "kernel_in": ("adapting_kernel", taps_last),
        "inv_alpha": ("alpha", np.asarray),
        "inv_lambda": ("exponent", np.asarray),
        "smooth_kernel": ("smoothing", lambda array: array[0, 0]),
        "mask": ("valid_mask", channels_last),
    }
    arrays = {new: f(data[old]) for old, (new, f) in convert.items() if old in data}
    gradients = {
        new: f(data[f"grad_{old}"]) for old, (new, f) in convert.items() if f"grad_{old}" in data
    }
    if config.get("precomputed_kernel"):
        del arrays["guide"]
    kind, *kernel_numbers = config["kernel_type"].split("_")
    if kind == "inv":
        arrays.setdefault("alpha", np.array(float(kernel_numbers[0])))
        arrays.setdefault("exponent", np.array(float(kernel_numbers[1])))
    smoothing, _, window = config["smooth_kernel_type"].partition("_")
    if smoothing == "gaussian":
        arrays["smoothing"] = BINOMIAL
    elif smoothing == "average":
        arrays["smoothing"] = np.full((int(window), int(window)), 1 / int(window) ** 2)
    geometry = {
        "strides": oracle.pair(config["stride"]),
        "padding": oracle.pair(config["padding"]),
        "dilation_rate": oracle.pair(config["dilation"]),
    }
    if operation == "transposed":
        geometry["output_padding"] = oracle.pair(config["output_padding"])
    output_mask = data.get("output_mask")
    return Case(
        operation=operation,
        kernel_size=oracle.pair(config["kernel_size"]),
        geometry=geometry,
        options={
            "kind": {"gaussian": "gaussian", "inv": "inverse"}[kind],
            "asymmetric": "asym" in kernel_numbers,
            "channel_wise": config.get("channel_wise", False),
            "normalize": config["normalize_kernel"],
        },
        arrays=arrays,
        grad_y=channels_last(data["grad_y"]),
        y=channels_last(data["y"]),
        adapting_kernel=taps_last(data["kernel"]) if "kernel" in data else None,
        output_mask=None if output_mask is None else channels_last(output_mask[:, 0, 0]),
        gradients=gradients,
    )


def run_oracle(case, arrays):
    """Return (y, K, output_mask) of a case by the oracle, with these arrays."""
    x, size = arrays["x"], arrays["x"].shape[1:3]
    geometry = dict(case.geometry)
    padding, strides = geometry["padding"], geometry["strides"]
    dilation_rate = geometry["dilation_rate"]
    if case.operation == "transposed":
        pads = oracle.transposed_geometry(
            size, case.kernel_size, strides, dilation_rate, padding, geometry["output_padding"]
        )
        window = {"stuffing": strides, "input_size": size}
    else:
        pads = oracle.conv_pads(size, case.kernel_size, strides, dilation_rate, padding)
        window = {"strides": strides}
    if "adapting_kernel" in arrays:
        adapting, output_mask = arrays["adapting_kernel"], None
    else:
        names = ("alpha", "exponent", "smoothing", "valid_mask")
        adapting, output_mask = oracle.adapting_kernel(
            arrays["guide"],
            case.kernel_size,
            pads,
            dilation_rate=dilation_rate,
            **window,
            **case.options,
            **{name: arrays[name] for name in names if name in arrays},
        )
    steps = {"strides": strides, "dilation_rate": dilation_rate}
    if case.operation == "pool":
        return oracle.pool(x, adapting, case.kernel_size, pads, **steps), adapting, output_mask
    function = oracle.conv if case.operation == "conv" else oracle.conv_transpose
    y = function(x, adapting, arrays["kernel"], arrays.get("bias"), pads, **steps)
    return y, adapting, output_mask


def oracle_loss(case, name):
    """Return sum(y * grad_y) as a function of the array called `name`."""
    return lambda array: (run_oracle(case, {**case.arrays, name: array})[0] * case.grad_y).sum()


@functools.lru_cache(maxsize=None)
def random_case(operation, seed):
    """Draw a geometry, options and arrays, and let the oracle give the results."""
    rng = np.random.default_rng([zlib.crc32(operation.encode()), seed])

    def maybe(probability=0.5):
        return rng.random() < probability

    def small(low, high):
        return tuple(int(n) for n in rng.integers(low, high + 1, 2))

    kernel_size = tuple(int(n) for n in rng.choice([1, 3, 5], 2, p=[0.2, 0.6, 0.2]))
    strides, dilation_rate = small(1, 3), small(1, 2)
    reach = [(k - 1) * d for k, d in zip(kernel_size, dilation_rate)]
    size = small(1, 5)
    padding = ["valid", "same", "explicit"][rng.integers(3)]
    geometry = {"strides": strides, "dilation_rate": dilation_rate}
    options = {
        "kind": "gaussian" if maybe() else "inverse",
        "asymmetric": maybe(0.3),
        "channel_wise": operation == "pool" and maybe(),
        "normalize": maybe(),
    }
    if operation == "transposed":
        if padding == "explicit":
            padding = tuple(int(rng.integers(0, r // 2 + 1)) for r in reach)
        extra = tuple(int(rng.integers(0, s)) for s in strides) if maybe() else None
        geometry["output_padding"] = extra
    else:
        size = tuple(n + r for n, r in zip(size, reach))
        if padding == "explicit":
            padding = tuple(tuple(int(p) for p in rng.integers(0, r // 2 + 1, 2)) for r in reach)
    geometry["padding"] = padding

    channels, filters = 2, 3
    batch = 2
    if operation == "transposed":
        pads = oracle.transposed_geometry(
            size, kernel_size, strides, dilation_rate, padding, geometry["output_padding"]
        )
        guide_size = tuple(
            (n - 1) * s + 1 + sum(p) - r for n, s, p, r in zip(size, strides, pads, reach)
        )
    else:
        guide_size = size
    arrays = {
        "x": rng.normal(size=(batch, *size, channels)),
        "guide": rng.normal(size=(batch, *guide_size, 2)),
    }
    if operation != "pool":
        if maybe(0.3):
            arrays["kernel"] = rng.normal(size=(*kernel_size, 1, 1))
        elif operation == "conv":
            arrays["kernel"] = rng.normal(size=(*kernel_size, channels, filters))
        else:
            arrays["kernel"] = rng.normal(size=(*kernel_size, filters, channels))
        if maybe():
            arrays["bias"] = rng.normal(
                size=channels if arrays["kernel"].size == np.prod(kernel_size) else filters
            )
    if options["kind"] == "inverse":
        shape = 2 if options["channel_wise"] else ()
        arrays["alpha"] = rng.uniform(0.1, 0.5, shape)
        arrays["exponent"] = rng.uniform(0.2, 0.8, shape)
    if maybe(0.3):
        n = int(rng.choice([3, 5]))
        arrays["smoothing"] = rng.uniform(0, 2 / n**2, (n, n))
    if maybe(0.4):
        arrays["valid_mask"] = (rng.random((batch, *size, 1)) < 0.6).astype("float64")

    case = Case(operation, kernel_size, geometry, options, arrays, None, None, None, None, {})
    case.y, case.adapting_kernel, case.output_mask = run_oracle(case, arrays)
    case.grad_y = rng.normal(size=case.y.shape)
    case.gradients = {
        name: oracle.gradient(oracle_loss(case, name), array)
        for name, array in arrays.items()
        if name != "valid_mask"
    }
    return case

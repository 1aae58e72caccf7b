"""Test cases of the three operations, one form for all: golden files and random draws."""

import dataclasses
import functools
import json
import math
import zlib

import numpy as np

from tests.support.oracle import oracle_gradients, output_size, pair, run_oracle
from tests.support.paths import GOLDEN

GOLDEN_NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
OPERATIONS = ("conv", "transposed", "pool")
# Which arrays of a case are images.
IMAGES = ("x", "guide", "valid_mask")
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

    @property
    def sources(self):
        """The arrays by which the result has a gradient: all but the mask."""
        return {name: array for name, array in self.arrays.items() if name != "valid_mask"}


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


@functools.cache
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
        "strides": pair(config["stride"]),
        "padding": pair(config["padding"]),
        "dilation_rate": pair(config["dilation"]),
    }
    if operation == "transposed":
        geometry["output_padding"] = pair(config["output_padding"])
    output_mask = data.get("output_mask")
    return Case(
        operation=operation,
        kernel_size=pair(config["kernel_size"]),
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


def make_case(
    rng,
    operation,
    kernel_size=(3, 3),
    size=(5, 4),
    *,
    batch=1,
    channels=2,
    filters=3,
    guide_channels=2,
    strides=(1, 1),
    padding="same",
    dilation_rate=(1, 1),
    output_padding=None,
    kind="gaussian",
    asymmetric=False,
    channel_wise=False,
    normalize=False,
    shared=False,
    bias=True,
    smoothing=None,
    masked=False,
    given=False,
):
    """Draw the arrays of a case; y, K and the output mask are the oracle's, gradients are empty.

    `smoothing` is the size of the smoothing window. `given` gives K instead of a guide.
    """
    geometry = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}
    if operation == "transposed":
        geometry["output_padding"] = output_padding
    options = {
        "kind": kind,
        "asymmetric": asymmetric,
        "channel_wise": channel_wise,
        "normalize": normalize,
    }
    case = Case(operation, kernel_size, geometry, options, {}, None, None, None, None, {})
    arrays = case.arrays
    out = output_size(case, size)
    arrays["x"] = rng.normal(size=(batch, *size, channels))
    if given:
        arrays["adapting_kernel"] = rng.normal(size=(batch, *out, math.prod(kernel_size)))
    else:
        guide_size = out if operation == "transposed" else size
        guide_channels = channels if channel_wise else guide_channels
        arrays["guide"] = rng.normal(size=(batch, *guide_size, guide_channels))
    if operation != "pool":
        ends = (channels, filters) if operation == "conv" else (filters, channels)
        arrays["kernel"] = rng.normal(size=(*kernel_size, *((1, 1) if shared else ends)))
        if bias:
            arrays["bias"] = rng.normal(size=channels if shared else filters)
    if kind == "inverse":
        shape = channels if channel_wise else ()
        arrays["alpha"] = rng.uniform(0.1, 0.5, shape)
        arrays["exponent"] = rng.uniform(0.2, 0.8, shape)
    if smoothing:
        arrays["smoothing"] = rng.uniform(0, 2 / smoothing**2, (smoothing, smoothing))
    if masked:
        arrays["valid_mask"] = (rng.random((batch, *size, 1)) < 0.6).astype("float64")
    case.y, case.adapting_kernel, case.output_mask = run_oracle(case, arrays)
    case.grad_y = rng.normal(size=case.y.shape)
    return case


@functools.cache
def random_case(operation, seed):
    """Draw geometry, options and arrays; results and gradients are the oracle's."""
    rng = np.random.default_rng([zlib.crc32(operation.encode()), seed])

    def perhaps(probability=0.5):
        return bool(rng.random() < probability)

    def two(low, high):
        return tuple(int(n) for n in rng.integers(low, high + 1, 2))

    kernel_size = tuple(int(n) for n in rng.choice([1, 3, 5], 2, p=[0.2, 0.6, 0.2]))
    strides, dilation_rate, size = two(1, 3), two(1, 2), two(1, 5)
    reach = [(k - 1) * d for k, d in zip(kernel_size, dilation_rate, strict=True)]
    padding = ["valid", "same", "explicit"][rng.integers(3)]
    if operation == "transposed":
        if padding == "explicit":
            padding = tuple(int(rng.integers(0, r // 2 + 1)) for r in reach)
    else:
        size = tuple(n + r for n, r in zip(size, reach, strict=True))
        if padding == "explicit":
            padding = tuple(tuple(int(p) for p in rng.integers(0, r // 2 + 1, 2)) for r in reach)
    case = make_case(
        rng,
        operation,
        kernel_size,
        size,
        batch=2,
        strides=strides,
        padding=padding,
        dilation_rate=dilation_rate,
        output_padding=tuple(int(rng.integers(0, s)) for s in strides) if perhaps() else None,
        kind="gaussian" if perhaps() else "inverse",
        asymmetric=perhaps(0.3),
        channel_wise=operation == "pool" and perhaps(),
        normalize=perhaps(),
        shared=perhaps(0.3),
        bias=perhaps(),
        smoothing=[None, None, 3, 5][rng.integers(4)],
        masked=perhaps(0.4),
    )
    case.gradients = oracle_gradients(case)
    return case


def rounded_case(case, rounded):
    """The case whose inputs are those of another, rounded: what an operation of few digits sees."""
    arrays = {name: rounded(array) for name, array in case.arrays.items()}
    case = dataclasses.replace(case, arrays=arrays, grad_y=rounded(case.grad_y))
    case.y, case.adapting_kernel, case.output_mask = run_oracle(case, arrays)
    case.gradients = oracle_gradients(case)
    return case

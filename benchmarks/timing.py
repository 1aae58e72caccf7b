"""How the benchmarks time: the layers of a case, and medians."""

import functools
import platform
import statistics
import time
from pathlib import Path

import keras

import keras_pac
from benchmarks import backends
from keras_pac.ops._implementations import NAMES


def keras_layer(case):
    """Return Keras's own layer of a case, built; it is called with x."""
    layers = keras.layers
    if case.layer == "PacPool2D":
        layer = layers.AveragePooling2D(
            case.kernel_size, 1, "same", "channels_last", dtype=case.dtype
        )
    elif case.options.get("shared_filters"):
        layer = layers.DepthwiseConv2D(case.kernel_size, **_geometry(case), dtype=case.dtype)
    else:
        cls = layers.Conv2DTranspose if case.transposed else layers.Conv2D
        layer = cls(case.filters, case.kernel_size, **_geometry(case), dtype=case.dtype)
    layer.build(case.input_shape)
    return layer


def pac_layer(case):
    """Return the PAC layer of a case, built; it is called with [x, guide]."""
    cls = getattr(keras_pac, case.layer)
    filters = [] if case.layer == "PacPool2D" else [case.filters]
    layer = cls(*filters, case.kernel_size, **_geometry(case), **case.options, dtype=case.dtype)
    layer.build([case.input_shape, case.guide_shape])
    return layer


def _geometry(case):
    names = ("strides", "dilation_rate")
    options = {name: getattr(case, name) for name in names}
    return {**options, "padding": "same", "data_format": "channels_last"}


def traced(implementation, function, *arguments):
    """Return a call of a function with an implementation; a graph is traced now."""
    call = functools.partial(function, *arguments)

    def call_with_implementation():
        with keras_pac.implementation(implementation):
            return call()

    call_with_implementation()
    return call_with_implementation


def median_ms(functions, repeats):
    """Call the functions in turn; return the median time of each in milliseconds."""
    wait = backends.current().wait
    for function in functions.values():
        wait(function())
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            wait(function())
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def add_timing_options(parser, candidates=NAMES):
    """Add --implementations, by default those of `candidates` that can run here, and --quick."""
    here = [name for name in candidates if not keras_pac.not_supported_reasons(name)]
    parser.add_argument("--implementations", nargs="+", choices=NAMES, default=here, metavar="NAME")
    quick = {"action": "store_const", "const": 3, "default": 15, "help": "3 repeats instead of 15"}
    parser.add_argument("--quick", dest="repeats", **quick)


def cpu_model():
    facts = Path("/proc/cpuinfo")
    for line in facts.read_text().splitlines() if facts.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

"""Time the suite and cases beside it; print, write and draw the ratios to Keras's own layers.

Per case, Keras's layer and every implementation of the PAC layer run in turn in this process,
after warm-up, as `benchmarks/backends.py` says; the medians count. The adapting kernel is computed
from the guide inside the measured call. On TensorFlow peak memory is measured for the suite, too,
in separate processes, see `benchmarks/memory.py`. `benchmarks/bounds.py` says what the lower bounds
are.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
from pathlib import Path

import keras
import matplotlib.figure
import numpy as np

import keras_pac
from benchmarks import backends, bounds, timing
from benchmarks.suite import BESIDE, SUITE
from keras_pac.ops._implementations import library

QUANTITIES = {
    "forward_ms": "forward",
    "training_step_ms": "forward + gradients",
    "peak_memory_mib": "peak memory of a training step",
}


def main(argv=None, suite=SUITE, beside=BESIDE):
    options = parse_arguments(argv, [*suite, *beside])
    cases = [case for case in [*suite, *beside] if case.name in options.cases]
    rates = bounds.rates()
    print(*(f"{1e-9 * rate:.1f} billion {what} a second" for what, rate in rates.items()), sep=", ")
    report = {"machine": machine(), "repeats": options.repeats, "rates": rates, "cases": {}}
    if "compiled" in options.implementations:
        report["compiled_op"] = built = compiled_op()
        print("The compiled op:", *(f"{key}: {value}" for key, value in built.items()), sep="\n  ")
    for case in cases:
        measured = measure(case, options.implementations, options.repeats, case in suite)
        for quantity, bound in bounds.lower_bound_ms(case, rates).items():
            measured[quantity]["bound"] = bound
        report["cases"][case.name] = measured
        print_case(case.name, measured)
    in_suite = [case.name for case in cases if case in suite]
    if in_suite:
        print("\nGeometric mean of the suite's ratios to Keras's layers")
        report["geometric_mean_of_ratios"] = means = {
            quantity: {
                name: statistics.geometric_mean(ratios(report, in_suite, quantity, name))
                for name in options.implementations
            }
            for quantity in report["cases"][in_suite[0]]
        }
        for quantity, numbers in means.items():
            print_row(QUANTITIES[quantity], {name: f"{x:.2f}x" for name, x in numbers.items()})
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "benchmarks.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(report, options.implementations, options.output / "benchmarks.png")
    print(f"\nWritten to {options.output}: benchmarks.json, benchmarks.png")


def parse_arguments(argv, suite):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    names = [case.name for case in suite]
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="CASE")
    timing.add_timing_options(parser)
    output = Path("outputs/benchmarks", keras.backend.backend())
    parser.add_argument("--output", type=Path, default=output)
    return parser.parse_args(argv)


def measure(case, implementations, repeats, with_memory):
    """Return {quantity: {"keras" or implementation: number}}."""
    random, backend = np.random.default_rng(0), backends.current()

    def normal(shape, scale=1.0):
        values = scale * random.standard_normal(shape)
        return keras.ops.convert_to_tensor(values, keras.DTypePolicy(case.dtype).compute_dtype)

    x, upstream_gradient = normal(case.input_shape), normal(case.output_shape)
    # The squared distance of two pixels is 1 on average: K is neither 0 nor 1 throughout.
    guide = normal(case.guide_shape, (2 * case.guide_channels) ** -0.5)

    forwards, steps = {}, {}

    def add(name, layer, inputs, implementation="auto"):
        forward, step = backend.forward(layer), backend.training_step(layer)
        forwards[name] = timing.traced(implementation, forward, inputs)
        steps[name] = timing.traced(implementation, step, inputs, upstream_gradient)

    add("keras", timing.keras_layer(case), x)
    pac_layer = timing.pac_layer(case)
    for name in implementations:
        add(name, pac_layer, [x, guide], implementation=name)
    measured = {
        "forward_ms": timing.median_ms(forwards, repeats),
        "training_step_ms": timing.median_ms(steps, repeats),
    }
    # The other backends have no record of allocations.
    if with_memory and keras.backend.backend() == "tensorflow":
        from benchmarks.memory import peak_in_own_process

        memory = {name: peak_in_own_process(case, name) for name in forwards}
        measured["peak_memory_mib"] = memory
    return measured


def ratios(report, cases, quantity, implementation):
    """How many times what Keras's layer takes, for each case."""
    measured = [report["cases"][case][quantity] for case in cases]
    return [numbers[implementation] / numbers["keras"] for numbers in measured]


def print_case(name, measured):
    print(f"\n{name}")
    for quantity, numbers in measured.items():
        unit = quantity.rpartition("_")[2].replace("mib", "MiB")
        cells = {"keras": f"{numbers['keras']:.1f} {unit}"}
        for implementation, number in list(numbers.items())[1:]:
            cells[implementation] = f"{number:.1f} {unit} {number / numbers['keras']:5.2f}x"
        print_row(QUANTITIES[quantity], cells)


def print_row(label, cells):
    columns = (f"{name:>8} {cell:<20}" for name, cell in cells.items())
    print(f"  {label:<32}", *columns, flush=True)


def draw(report, implementations, path):
    """Draw a panel for each time: a group of bars for each case."""
    cases, quantities = list(report["cases"]), ("forward_ms", "training_step_ms")
    figure = matplotlib.figure.Figure(figsize=(4 + 0.7 * len(cases), 8), layout="constrained")
    width = 0.8 / len(implementations)
    for axes, quantity in zip(figure.subplots(len(quantities)), quantities):
        for i, name in enumerate(implementations):
            bars = axes.bar(
                np.arange(len(cases)) + (i + 0.5) * width - 0.4,
                ratios(report, cases, quantity, name),
                width,
                label=name,
            )
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_xticks(range(len(cases)), cases)
        axes.set_ylabel("times Keras's layer")
        axes.set_title(QUANTITIES[quantity])
        axes.margins(y=0.4)  # room for the legend
        axes.legend()
    figure.savefig(path, dpi=150)


def machine():
    """Return what the numbers depend on, without anything that identifies the machine."""
    backend = keras.backend.backend()
    return {
        "cpu": timing.cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "backend": f"{backend} {importlib.metadata.version(backend)}",
        "keras": keras.__version__,
        "keras_pac": keras_pac.__version__,
    }


def compiled_op():
    """Return how the op was built, and what it uses of this processor."""
    keys = ("compiler", "flags", "cuda")
    built = {key: value for key, value in library.built_with().items() if key in keys}
    return {**built, "runs with": library.instructions()}


if __name__ == "__main__":
    main()

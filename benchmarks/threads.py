"""How well the layers use the cores, on TensorFlow: one thread beside all, and two models at once.

For each case of the suite and each number of threads, Keras's layer and the PAC layer run in turn
in a process of their own, since TensorFlow fixes the number when it starts. The efficiency is the
time with one thread, divided by the number of threads and by the time with all of them. Then two
models run in this process, called by two Python threads at once, and one after the other.
"""

import argparse
import json
import os
import subprocess
import sys
import threading

import numpy as np
import tensorflow as tf

from benchmarks import backends
from benchmarks.suite import SUITE
from benchmarks.timing import add_timing_options, keras_layer, median_ms, pac_layer, traced


def main(argv=None, suite=SUITE):
    options = parse_arguments(argv, suite)
    cases = [case for case in suite if case.name in options.cases]
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        print(json.dumps({case.name: measure(case, options) for case in cases}))
        return
    cores = os.cpu_count()
    print(f"Efficiency on {cores} cores: 1 is perfect.\n")
    for case in cases:
        alone, shared = (in_own_process(case, options, threads) for threads in (1, cores))
        efficiencies = {name: alone[name] / shared[name] / cores for name in alone}
        print_row(case.name, {name: f"{value:.2f}" for name, value in efficiencies.items()})
    print("\nTwo models called at once, as a multiple of the time one after the other\n")
    for case in cases:
        print_row(case.name, {options.implementations[0]: f"{two_at_once(case, options):.2f}"})


def parse_arguments(argv, suite):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    names = [case.name for case in suite]
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="CASE")
    parser.add_argument("--threads", type=int, help="only print the times with so many, as JSON")
    add_timing_options(parser, candidates=("compiled",))
    return parser.parse_args(argv)


def in_own_process(case, options, threads):
    command = [sys.executable, "-m", "benchmarks.threads", "--threads", str(threads)]
    command += ["--cases", case.name, "--implementations", *options.implementations]
    command += ["--quick"] if options.repeats < 15 else []
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])[case.name]


def measure(case, options):
    """{"keras" or implementation: milliseconds of a forward pass}."""
    x, guide = tensors(case)
    forward = backends.current().forward
    calls = {"keras": traced("auto", forward(keras_layer(case)), x)}
    for name in options.implementations:
        calls[name] = traced(name, forward(pac_layer(case)), [x, guide])
    return median_ms(calls, options.repeats)


def two_at_once(case, options):
    inputs = tensors(case)
    forward = backends.current().forward
    calls = [
        traced(options.implementations[0], forward(pac_layer(case)), list(inputs)) for _ in range(2)
    ]

    def together():
        other = threading.Thread(target=calls[1])
        other.start()
        calls[0]()
        other.join()

    def in_turn():
        for call in calls:
            call()

    times = median_ms({"together": together, "in turn": in_turn}, options.repeats)
    return times["together"] / times["in turn"]


def tensors(case):
    random = np.random.default_rng(0)
    return [
        tf.constant(random.standard_normal(shape), "float32")
        for shape in (case.input_shape, case.guide_shape)
    ]


def print_row(label, cells):
    print(f"{label:<16}", *(f"{name:>10} {cell}" for name, cell in cells.items()), flush=True)


if __name__ == "__main__":
    main()

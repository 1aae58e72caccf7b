"""Peak memory of one training step: python -m benchmarks.memory CASE_AS_JSON IMPLEMENTATION

Prints MiB: by how much the peak resident memory of this process grows when the inputs are made
and one training step runs, after the same step has run on a tiny image. So the inputs, the
output, all gradients and whatever the step keeps in between count; Python, TensorFlow and the
layer's weights don't.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

import keras_pac
from benchmarks.cases import Case, training_step


def peak_in_own_process(case, implementation):
    """Return the MiB that a step takes; `implementation` "keras" is Keras's own layer."""
    case = json.dumps(dataclasses.asdict(case))
    command = [sys.executable, "-m", "benchmarks.memory", case, implementation]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return float(run.stdout.splitlines()[-1])


def _peak(case, implementation):
    if implementation == "keras":
        step = training_step(case.keras_layer())
    else:
        keras_pac.set_implementation(implementation)
        step = training_step(case.pac_layer())

    def arguments(case, make):
        x, upstream_gradient = make(case.input_shape), make(case.output_shape)
        inputs = x if implementation == "keras" else [x, make(case.guide_shape)]
        return inputs, upstream_gradient

    # Zeros, as their values don't matter here and random ones would need memory to make.
    step(*arguments(dataclasses.replace(case, height=8, width=8), tf.zeros))
    step.get_concrete_function(*arguments(case, tf.TensorSpec))
    before = _peak_resident_mib()
    step(*arguments(case, tf.zeros))
    return _peak_resident_mib() - before


def _peak_resident_mib():
    # Not `resource.getrusage`: its peak starts at the size of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024  # it is in KiB, on Linux only


if __name__ == "__main__":
    print(_peak(Case(**json.loads(sys.argv[1])), sys.argv[2]))

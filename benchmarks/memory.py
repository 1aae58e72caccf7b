"""Peak memory of one training step, in a process of its own.

    python -m benchmarks.memory '<case as JSON>' keras|patches|taps|compiled

prints MiB: by how much the process's peak resident memory grows, over its peak after the same
step on an 8x8 image, when the inputs are made and one training step runs. So the inputs, the
output, all gradients and everything in between count; Python, TensorFlow and the graph don't.
"""

import contextlib
import dataclasses
import json
import resource
import subprocess
import sys

import tensorflow as tf

import keras_pac
from benchmarks.cases import Case, training_step


def peak_in_own_process(case, name):
    """Return the MiB that a training step of Keras's layer ('keras') or an implementation takes."""
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps(dataclasses.asdict(case)), name]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return float(run.stdout.splitlines()[-1])


def peak(case, name):
    layer = case.keras_layer() if name == "keras" else case.pac_layer()
    step = training_step(layer)

    def make_inputs(case):
        inputs = case.keras_inputs() if name == "keras" else case.pac_inputs()
        return inputs, case.upstream_gradient()

    chosen = contextlib.nullcontext() if name == "keras" else keras_pac.implementation(name)
    with chosen:
        step(*make_inputs(dataclasses.replace(case, height=8, width=8)))
        specs = tf.nest.map_structure(
            tf.TensorSpec.from_tensor, tf.function(make_inputs).get_concrete_function
        )
    return specs


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(peak(Case(**json.loads(sys.argv[1])), sys.argv[2]))

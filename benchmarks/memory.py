"""Peak memory of one training step: python -m benchmarks.memory CASE_AS_JSON IMPLEMENTATION

Prints MiB: the inputs plus the most that TensorFlow's CPU allocator holds at any moment of the
step, from its own record of every allocation. So the output, all gradients, whatever the step
keeps in between and the libraries' scratch memory count; Python, TensorFlow's code, the layer's
weights and the graph don't: they do not grow with the image. (The resident memory of the process
would not do: it includes what compiling the graph took, and the allocator returns nothing.)
"""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import tensorflow as tf

import keras_pac
from benchmarks.suite import Case
from benchmarks.timing import keras_layer, pac_layer


def peak_in_own_process(case, implementation):
    """Return the MiB that a step takes; `implementation` "keras" is Keras's own layer."""
    case = json.dumps(dataclasses.asdict(case))
    command = [sys.executable, "-m", "benchmarks.memory", case, implementation]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return float(run.stdout.splitlines()[-1])


def _peak(case, implementation):
    shapes = [case.input_shape]
    if implementation == "keras":
        layer = keras_layer(case)
    else:
        keras_pac.set_implementation(implementation)
        layer = pac_layer(case)
        shapes.append(case.guide_shape)
    weights = [np.asarray(weight) for weight in layer.trainable_weights]

    @tf.function(jit_compile=False)
    def step(inputs, weights, upstream_gradient):
        with tf.GradientTape() as tape:
            tape.watch([inputs, weights])
            y, _ = layer.stateless_call(weights, [], inputs if len(inputs) > 1 else inputs[0])
        return y, tape.gradient(y, [inputs, weights], output_gradients=upstream_gradient)

    arrays = [
        [np.zeros(shape, "float32") for shape in shapes],
        weights,
        np.zeros(case.output_shape, "float32"),
    ]
    inputs = sum(array.nbytes for array in tf.nest.flatten([arrays[0], arrays[2]]))
    return inputs / 2**20 + peak_mib(step, arrays)


def peak_mib(function, arrays):
    """The most that TensorFlow's allocator holds while a graph function runs, in MiB."""
    # TensorFlow returns the record of allocations only from sessions.
    with tf.Graph().as_default():
        placeholders = tf.nest.map_structure(
            lambda array: tf.compat.v1.placeholder("float32", array.shape), arrays
        )
        fetches = tf.nest.flatten(function(*placeholders))
        feed = dict(zip(tf.nest.flatten(placeholders), tf.nest.flatten(arrays)))
        record = tf.compat.v1.RunMetadata()
        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        with tf.compat.v1.Session() as session:
            session.run(fetches, feed)  # compiles
            session.run(fetches, feed, options=options, run_metadata=record)
    allocations = sorted(
        (allocation.alloc_micros, allocation.alloc_bytes)
        for device in record.step_stats.dev_stats
        for node in device.node_stats
        for memory in node.memory
        for allocation in memory.allocation_records
    )
    return np.cumsum([size for _, size in allocations]).max() / 2**20


if __name__ == "__main__":
    print(_peak(Case(**json.loads(sys.argv[1])), sys.argv[2]))

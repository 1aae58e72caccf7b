# %% [markdown]
# # Half precision and several devices
#
# PAC layers take Keras's dtype policies and run under Keras's and TensorFlow's ways to
# use several devices. This page shows what stays exact, what to write, and that the
# results agree.
#
# First, two devices to show it with: the processor, twice. TensorFlow wants to know
# before it does anything. A machine with several devices needs no such lines.

# %%
import os
import resource
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_pac
from keras_pac.ops import adapting_kernel

tf.get_logger().setLevel("ERROR")
processor = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(processor, halves)
print([device.name for device in tf.config.list_logical_devices("CPU")])

# %% [markdown]
# ## Half precision
#
# `keras.config.set_dtype_policy("mixed_bfloat16")` before a model is made, or
# `dtype="mixed_bfloat16"` for a layer, makes the layer compute in bfloat16 and keep its
# weights in float32. `mixed_float16` works in the same way. Here is the error of one
# layer under each policy, against the same layer in float64, as a share of the largest
# output; beside it that of Keras's `Conv2D`:

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(2, 64, 64, 16))
guide = rng.normal(size=(2, 64, 64, 8))
filters = [rng.normal(size=(5, 5, 16, 16)), np.zeros(16)]


def in_float64(tensor):
    return np.array(keras.ops.cast(tensor, "float64"))


def outputs(kind, inputs, policy):
    layer = kind(16, 5, padding="same", dtype=policy)
    layer.build([array.shape for array in inputs] if len(inputs) > 1 else x.shape)
    layer.set_weights(filters)
    return in_float64(layer(inputs if len(inputs) > 1 else x))


def error(kind, inputs, policy):
    exact = outputs(kind, inputs, "float64")
    return np.abs(outputs(kind, inputs, policy) - exact).max() / np.abs(exact).max()


for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
    pac = error(keras_pac.PacConv2D, [x, guide], policy)
    plain = error(keras.layers.Conv2D, [x], policy)
    print(f"{policy:<15} PacConv2D {pac:.0e}   Conv2D {plain:.0e}")

# %% [markdown]
# The adapting kernel K is computed in float32 at least, and only then rounded. In half
# precision, the sum over the features of a guide would lose small terms. Take a guide
# of 256 features in bfloat16. The error of K against float64 is that of one rounding,
# at most 2e-3. Summed in bfloat16, for each pixel and its right neighbour, it is ten
# times as large:

# %%
features = keras.ops.cast(1 + 0.05 * rng.normal(size=(1, 32, 32, 256)), "bfloat16")
same = keras.ops.cast(features, "float64")
exact = in_float64(adapting_kernel(same, 3, padding="same"))
kernel = adapting_kernel(features, 3, padding="same")
largest = np.abs(in_float64(kernel) - exact).max()
print(f"{kernel.dtype.name}, from float32  {largest:.0e}")

square = keras.ops.zeros((1, 32, 31), "bfloat16")
for channel in range(features.shape[-1]):
    difference = features[:, :, 1:, channel] - features[:, :, :-1, channel]
    square += difference * difference
right = in_float64(keras.ops.exp(-0.5 * square))
largest = np.abs(right - exact.reshape(1, 32, 32, 3, 3)[:, :, :-1, 1, 2]).max()
print(f"bfloat16 throughout     {largest:.0e}")

# %% [markdown]
# Gradients of float16 can become too small to be a number. Keras therefore scales the
# loss where a model is compiled under `mixed_float16`; there is nothing to do. bfloat16
# has the range of float32 and needs no scaling. Let the last layer give float32, so
# that the loss is computed in it:

# %%
images = rng.random((64, 32, 32, 3), "float32")
targets = images.mean(-1, keepdims=True).round()


def make_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras_pac.PacConv2D(
                8, 3, padding="same", activation="relu", guide_filters=4
            ),
            keras_pac.PacConv2D(1, 3, padding="same", dtype="float32"),
        ]
    )


def trained(model):
    model.compile(keras.optimizers.Adam(1e-2), "mean_squared_error")
    return model.fit(images, targets, batch_size=16, epochs=4, shuffle=False, verbose=0)


for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
    keras.config.set_dtype_policy(policy)
    model = make_model()
    loss = trained(model).history["loss"][-1]
    print(f"{policy:<15} {type(model.optimizer).__name__:<19} loss {loss:.4f}")
keras.config.set_dtype_policy("float32")

# %% [markdown]
# Whether half precision is faster depends on the processor: see
# {doc}`/results/speed`.
#
# ## Memory
#
# Three implementations compute the same. `keras_pac.get_implementation()` says which
# runs, and `keras_pac.implementation` chooses one for a while. They differ in what they
# keep: `compiled` doesn't store K, `taps` holds some rows of windows at a time,
# `patches` all windows at once. So much does the peak memory of this process grow in a
# forward pass, one after the other:

# %%
print("default:", keras_pac.get_implementation())
large = rng.random((1, 512, 512, 16), "float32")
layer = keras_pac.PacConv2D(16, 5, padding="same")
layer.build(large.shape)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


results = []
for name in ("compiled", "taps", "patches"):
    if not keras_pac.not_supported_reasons(name):
        before = peak()
        with keras_pac.implementation(name):
            results.append(np.array(layer(large)))
        print(f"{name:<9} {peak() - before:5.0f} MiB")
differences = [np.abs(y - results[-1]).max() for y in results]
print(f"largest difference {max(differences):.0e}")

# %% [markdown]
# ## Several devices with TensorFlow
#
# A model that is made and compiled inside the scope of a strategy is trained by `fit`
# on all its devices. Each gets its share of a batch. So it must learn what one device
# learns from the whole batch:

# %%
one = make_model()
trained(one)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    two = make_model()
    trained(two)
start = make_model()


def largest_difference(model, other):
    pairs = zip(model.get_weights(), other.get_weights())
    return max(np.abs(a - b).max() for a, b in pairs)


print(strategy.num_replicas_in_sync, "devices")
print(f"the weights moved by up to {largest_difference(one, start):.0e}")
print(f"largest difference to one device {largest_difference(one, two):.0e}")

# %% [markdown]
# ## Several devices with JAX
#
# On JAX, `keras.distribution.DataParallel` shares the batch. This page runs on
# TensorFlow, so the program for JAX runs in a process of its own, on two devices that
# XLA makes of the processor. Only the line with `set_distribution` is about the
# devices.

# %%
PROGRAM = """
import keras, numpy as np
import keras_pac

images = np.random.default_rng(0).random((64, 32, 32, 3), "float32")
targets = images.mean(-1, keepdims=True).round()

def trained_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((32, 32, 3)),
        keras_pac.PacConv2D(8, 3, padding="same", activation="relu", guide_filters=4),
        keras_pac.PacConv2D(1, 3, padding="same"),
    ])
    model.compile(keras.optimizers.Adam(1e-2), "mean_squared_error")
    model.fit(images, targets, batch_size=16, epochs=4, shuffle=False, verbose=0)
    return model

one = trained_model()
devices = keras.distribution.list_devices()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
two = trained_model()

print(keras.backend.backend(), keras_pac.get_implementation(), devices)
used = two.weights[0].value.sharding.device_set
pairs = zip(one.get_weights(), two.get_weights())
difference = max(np.abs(a - b).max() for a, b in pairs)
print(f"{len(used)} devices, largest difference to one device {difference:.0e}")
"""
environment = {
    **os.environ,
    "KERAS_BACKEND": "jax",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}
process = subprocess.run(
    [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
)
print(process.stdout if process.returncode == 0 else process.stderr)
process.check_returncode()

# %% [markdown]
# The compiled code takes part in this: JAX hands each device its images. The same holds
# in any `jax.jit` of arrays that are sharded along the batch.

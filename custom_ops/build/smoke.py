"""One compiled forward pass in a fresh environment: `release.py` runs this file there."""

import pathlib
import sys
import time

start = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_pac  # noqa: E402
from keras_pac.info import info  # noqa: E402

assert pathlib.Path(keras_pac.__file__).is_relative_to(sys.prefix), keras_pac.__file__
layer = keras_pac.PacConv2D(4, 3, padding="same")
rng = np.random.default_rng(0)
inputs = [rng.normal(size=(2, 9, 8, channels)).astype("float32") for channels in (3, 5)]
result = layer(inputs)
seconds = time.perf_counter() - start
lines = info()
print(*lines, sep="\n")
assert "compiled      runs here" in lines and "in use        compiled (default)" in lines
with keras_pac.implementation("taps"):
    portable = layer(inputs)
result, portable = map(keras.ops.convert_to_numpy, (result, portable))
assert np.ptp(result) > 0.1
np.testing.assert_allclose(result, portable, rtol=1e-4, atol=1e-5)
print(f"the compiled code gives what the portable code gives, {seconds:.1f} s after the start")

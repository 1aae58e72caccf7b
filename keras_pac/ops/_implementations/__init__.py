"""The implementations of K and of windowed sums, and the choice between them.

All implementations have the same functions. `current()` returns the one for a call made here:

    adapting_kernel(guide, window, form, valid_mask=None) -> K, output_mask
    windowed_sum(x, adapting_kernel, filter, window, bias=None, softmax=False) -> y
    guided_windowed_sum(x, guide, filter, window, form, bias=None, valid_mask=None)
        -> y, output_mask

Their arguments, all channels last:
    x: (B, H, W, Cin).
    guide: (B, H, W, G); for a transposed window at the size of the output.
    adapting_kernel: K, (B, OH, OW, kh * kw, 1 or Cin).
    filter: (kh, kw, Cin, Cout), (kh, kw, 1, 1) for one that all channels share, or None for ones.
    window: `window.Window`.
    form: `kernel_form.KernelForm`.
    bias: None or (Cout,); to `windowed_sum` also (B, OH, OW, Cout), a value for every output.
    softmax: bool, whether y is the softmax of the sum over its channels.
    valid_mask: None or (B, H, W, 1).

    y is (B, OH, OW, Cout) in the type of x; output_mask is (B, OH, OW, 1), or None without a mask.

K has the type of the guide, or a wider one.

A new implementation is a module with these functions (or, in `keras.ops`, with the two that
`Portable` needs), a line in `_LOADERS`, and its reasons in `not_supported_reasons`. A new backend
of the compiled code is a module with the two functions that `Compiled` needs.
"""

import contextlib
import contextvars
import functools
import os

import keras

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled import Compiled
from keras_pac.ops._implementations.portable import TAPS, Portable


def _compiled():
    operations = _compiled_operations()()
    return Compiled(operations) if operations else TAPS


def _compiled_operations():
    """The backend's function that returns the operations for a place, or None if none fit there."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_pac.ops._implementations.compiled.on_tensorflow import operations_here
    elif backend == "jax":
        from keras_pac.ops._implementations.compiled.on_jax import operations_here
    else:
        from keras_pac.ops._implementations.compiled.on_torch import operations_here
    return operations_here


def _patches():
    from keras_pac.ops._implementations import patches  # needs TensorFlow

    return Portable(patches)


# What keeps the contract for each name, in the order in which "auto" prefers them. On every case
# of the benchmark suite "compiled" was faster than "taps", and "taps" faster than "patches", with
# and without gradients; so it was with memory (docs/results/speed.md).
_LOADERS = {"compiled": _compiled, "taps": lambda: TAPS, "patches": _patches}
NAMES = tuple(_LOADERS)


def not_supported_reasons(name):
    """Why an implementation can't run here, one sentence a reason; empty if it can.

    Args:
        name: "patches", "taps" or "compiled".

    Returns:
        list of str.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> keras_pac.not_supported_reasons("taps")
        []
    """
    _check_name(name, NAMES)
    backend = keras.backend.backend()
    if name == "patches" and backend != "tensorflow":
        return [f"it needs the TensorFlow backend of Keras, and the backend is {backend!r}."]
    if name == "compiled":
        return library.not_loaded_reasons()
    return []


def set_implementation(name):
    """Choose the implementation of all operations and layers from here on.

    Graphs that were traced before (of a `tf.function` or a compiled model) do not change.

    Args:
        name: "auto" (the default: the fastest that runs here), "patches" (all windows at once:
            the readable definition, TensorFlow only, memory grows with the window), "taps"
            (portable, bounded memory) or "compiled" (C++; in what is exported, "taps" stands in
            for it). The environment variable `KERAS_PAC_IMPLEMENTATION` sets the initial choice.

    Raises:
        ValueError: for an unknown name, or one that can't run here, with all the reasons.

    Example:
        >>> keras_pac.set_implementation("taps")
        >>> keras_pac.get_implementation()
        'taps'
        >>> keras_pac.set_implementation("auto")
    """
    global _chosen
    _check_can_run(name)
    _chosen = name


@contextlib.contextmanager
def implementation(name):
    """Choose the implementation inside a `with` block, for this thread; see `set_implementation`.

    Args:
        name: "auto", "patches", "taps" or "compiled".

    Raises:
        ValueError: for an unknown name, or one that can't run here, with all the reasons.

    Example:
        >>> with keras_pac.implementation("taps"):
        ...     keras_pac.get_implementation()
        'taps'
    """
    _check_can_run(name)
    token = _inside.set(name)
    try:
        yield
    finally:
        _inside.reset(token)


def get_implementation():
    """The name of the implementation that runs now, "auto" resolved.

    Returns:
        "patches", "taps" or "compiled".

    Raises:
        ValueError: if `KERAS_PAC_IMPLEMENTATION` names one that is unknown or can't run.

    Example:
        >>> keras_pac.get_implementation() in ("taps", "compiled")
        True
    """
    choice = _choice()
    if choice != "auto":
        return choice
    library.warn_if_refused()
    return next(name for name in NAMES if not not_supported_reasons(name) and _pays(name))


if keras.backend.backend() == "torch":
    import torch

    # `torch.compile` can't trace how a library is loaded: it asks for the name while it traces.
    torch.compiler.assume_constant_result(get_implementation)


def current():
    """The implementation for a call made here; an operation asks for it once, at its start."""
    return _LOADERS[get_implementation()]()


def _pays(name):
    """Whether "auto" may choose it, where it can run.

    Without CUDA code it would take every image from the GPU to the CPU and back, or not run.
    """
    return name != "compiled" or library.has_cuda() or not has_gpu()


def avoids_xla():
    """Whether Keras must not turn XLA on by itself, since the compiled op can't run inside XLA.

    Keras turns XLA on by itself only where TensorFlow sees more than CPUs.
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return on_tensorflow and get_implementation() == "compiled" and has_gpu()


def has_gpu():
    """Whether the backend sees more than CPUs."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())


def _choice():
    if inside := _inside.get():
        return inside
    if _chosen is None:
        try:
            set_implementation(os.environ.get("KERAS_PAC_IMPLEMENTATION", "auto"))
        except ValueError as error:
            raise ValueError(f"KERAS_PAC_IMPLEMENTATION: {error}") from error
    return _chosen


def _check_can_run(name):
    _check_name(name, ("auto", *NAMES))
    if name != "auto" and (reasons := not_supported_reasons(name)):
        raise ValueError(f"Implementation {name!r} can't run: {' '.join(reasons)}")


def _check_name(name, names):
    if name not in names:
        raise ValueError(f"The implementation must be one of {names}. Received: {name!r}")


# None until the first use, when the environment variable is read.
_chosen = None
# The choice of the `with` block that the thread is in, or None.
_inside = contextvars.ContextVar("implementation", default=None)

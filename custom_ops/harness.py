"""Drive a library of the core alone (see `build_core.py`) from Python, without TensorFlow.

    python custom_ops/harness.py --library libkeras_pac_core.so --device cpu
    python custom_ops/harness.py --library libkeras_pac_core.so --device cuda --speed
    python custom_ops/harness.py --library libkeras_pac_emulated.so --device emulated

It checks random shapes against a float64 reference in NumPy (`harness_reference.py`), and that
repeated runs are bitwise equal: also with 1, 2 and 4 threads on a CPU, and in both orders of the
threads where CUDA is emulated. A CUDA device is reached through PyTorch or CuPy. `--speed` compares
with torch.nn.functional.conv2d (needs PyTorch and a GPU).
"""

import argparse
import ctypes
import sys
import threading

import numpy as np

TYPES = ("float16", "bfloat16", "float32", "float64")
KINDS = ("gaussian", "inverse")
FILTERS = ("pooling", "shared", "full")
FUNCTIONS = ("adapting_kernel", "adapting_kernel_gradient", "windowed_sum", "windowed_sum_gradient")

_pair = ctypes.c_int64 * 2


class Sizes(ctypes.Structure):
    """kpac_sizes"""

    _fields_ = [
        ("batch", ctypes.c_int64),
        ("input_size", _pair),
        ("guide_size", _pair),
        ("output_size", _pair),
        ("input_channels", ctypes.c_int64),
        ("guide_channels", ctypes.c_int64),
        ("output_channels", ctypes.c_int64),
        ("kernel_size", _pair),
        ("strides", _pair),
        ("input_dilation", _pair),
        ("dilation", _pair),
        ("padding", _pair),
        ("guide_padding", _pair),
        ("type", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("filter", ctypes.c_int32),
        ("asymmetric", ctypes.c_int32),
        ("channel_wise", ctypes.c_int32),
        ("normalize", ctypes.c_int32),
    ]


def sizes(**values):
    """Sizes from keywords: pairs as tuples; type, kind and filter by name."""
    for name, names in (("type", TYPES), ("kind", KINDS), ("filter", FILTERS)):
        if isinstance(values.get(name), str):
            values[name] = names.index(values[name])
    return Sizes(**{k: _pair(*v) if isinstance(v, (tuple, list)) else v for k, v in values.items()})


def convolution(
    batch,
    input_size,
    channels,
    filters,
    kernel_size,
    *,
    strides=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    guide_channels=1,
    **options,
):
    """Sizes of a convolution with a full filter, as many rows and columns padded on both sides."""
    output = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(input_size, padding, dilation, kernel_size, strides)
    ]
    values = dict(
        batch=batch,
        input_size=input_size,
        guide_size=input_size,
        output_size=output,
        input_channels=channels,
        guide_channels=guide_channels,
        output_channels=filters,
        kernel_size=kernel_size,
        strides=strides,
        input_dilation=(1, 1),
        dilation=dilation,
        padding=padding,
        guide_padding=padding,
        type="float32",
        filter="full",
    )
    return sizes(**{**values, **options})


def transposed(
    batch,
    input_size,
    channels,
    filters,
    kernel_size,
    *,
    strides=(2, 2),
    padding=(0, 0),
    output_padding=(0, 0),
    dilation=(1, 1),
    guide_channels=1,
    **options,
):
    """Sizes of a transposed convolution (its filter has to be mirrored)."""
    output = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + o
        for n, s, p, d, k, o in zip(
            input_size, strides, padding, dilation, kernel_size, output_padding
        )
    ]
    values = dict(
        batch=batch,
        input_size=input_size,
        guide_size=output,
        output_size=output,
        input_channels=channels,
        guide_channels=guide_channels,
        output_channels=filters,
        kernel_size=kernel_size,
        strides=(1, 1),
        input_dilation=strides,
        dilation=dilation,
        padding=[(k - 1) * d - p for k, d, p in zip(kernel_size, dilation, padding)],
        guide_padding=[d * (k // 2) for k, d in zip(kernel_size, dilation)],
        type="float32",
        filter="full",
    )
    return sizes(**{**values, **options})


def pooling(batch, input_size, channels, kernel_size, **options):
    return convolution(
        batch, input_size, channels, channels, kernel_size, **{"filter": "pooling", **options}
    )


def _pointers(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(f, ctypes.c_void_p) for f in fields]})


Inputs = _pointers(
    "Inputs",
    "x",
    "adapting_kernel",
    "guide",
    "center",
    "valid_mask",
    "alpha",
    "exponent",
    "kernel",
    "bias",
)
Gradients = _pointers(
    "Gradients", "x", "adapting_kernel", "guide", "center", "alpha", "exponent", "kernel", "bias"
)
Part = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32)
Run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, Part, ctypes.c_void_p)


class ParallelFor(ctypes.Structure):
    """kpac_parallel_for over Python threads: `workers` of them take parts one after another."""

    _fields_ = [("context", ctypes.c_void_p), ("workers", ctypes.c_int32), ("run", Run)]

    def __init__(self, workers=1):
        super().__init__(None, workers, Run(self._run_parts))

    def _run_parts(self, context, count, part, job):
        step = max(1, -(-count // (4 * self.workers)))
        begins = iter(range(0, count, step))
        lock = threading.Lock()

        def work(worker):
            while True:
                with lock:
                    begin = next(begins, None)
                if begin is None:
                    return
                part(job, begin, min(begin + step, count), worker)

        others = [threading.Thread(target=work, args=(w,)) for w in range(1, self.workers)]
        for thread in others:
            thread.start()
        work(0)
        for thread in others:
            thread.join()


class CoreError(ValueError):
    """What a function of the core refused, and why."""


def pointer(array):
    """The address of a NumPy, PyTorch or CuPy array's data."""
    if array is None or isinstance(array, int):
        return array
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    return array.data_ptr() if hasattr(array, "data_ptr") else array.data.ptr


class Core:
    """The functions of keras_pac.h in a library, on one device.

    Args:
        path: the library.
        device: "cpu" (NumPy arrays), "cuda" (PyTorch or CuPy arrays on the GPU) or "emulated" (the
            CUDA functions of a library built with --emulate; NumPy arrays).
        workers: threads, for "cpu".
        stream: the address of a CUDA stream.
    """

    GUARD = 256

    def __init__(self, path, device="cpu", workers=1, stream=None):
        self.library = ctypes.CDLL(path)
        self.device, self.workers, self.stream = device, workers, stream
        self.prefix = "kpac_cpu_" if device == "cpu" else "kpac_cuda_"
        self.library.kpac_check.restype = ctypes.c_int
        getattr(self.library, self.prefix + "workspace").restype = ctypes.c_int64

    def adapting_kernel(self, sizes, inputs, kernel, output_mask=None):
        """`inputs` (and `gradients` below): {name as in keras_pac.h: array}; None is left out."""
        self._call(0, sizes, inputs, None, pointer(kernel), pointer(output_mask))

    def adapting_kernel_gradient(self, sizes, inputs, upstream, gradients):
        self._call(1, sizes, inputs, gradients, pointer(upstream))

    def windowed_sum(self, sizes, inputs, y):
        self._call(2, sizes, inputs, None, pointer(y))

    def windowed_sum_gradient(self, sizes, inputs, upstream, gradients):
        self._call(3, sizes, inputs, gradients, pointer(upstream))

    def workspace_bytes(self, function, sizes, inputs, gradients=None):
        """Bytes that function number `function` asks for."""
        inputs = Inputs(**{name: pointer(a) for name, a in inputs.items()})
        if gradients is not None:
            gradients = Gradients(**{name: pointer(a) for name, a in gradients.items()})
        return self._workspace(function, sizes, inputs, gradients)

    def _workspace(self, function, sizes, inputs, gradients):
        arguments = [function, ctypes.byref(sizes), ctypes.byref(inputs)]
        arguments.append(None if gradients is None else ctypes.byref(gradients))
        if self.device == "cpu":
            arguments.append(ctypes.c_int32(self.workers))
        return getattr(self.library, self.prefix + "workspace")(*arguments)

    def _call(self, function, sizes, inputs, gradients, *pointers):
        inputs = Inputs(**{name: pointer(a) for name, a in inputs.items()})
        if gradients is not None:
            gradients = Gradients(**{name: pointer(a) for name, a in gradients.items()})
        error = ctypes.create_string_buffer(512)
        status = self.library.kpac_check(
            function, ctypes.byref(sizes), ctypes.byref(inputs), error, ctypes.sizeof(error)
        )
        if status:
            raise CoreError(error.value.decode())
        count = self._workspace(function, sizes, inputs, gradients)
        if count < 0:
            raise CoreError(f"the workspace of {FUNCTIONS[function]} can't be counted")
        memory = self._allocate(count)
        arguments = [ctypes.byref(sizes), ctypes.byref(inputs)]
        arguments += [ctypes.c_void_p(p) for p in pointers]
        if gradients is not None:
            arguments.append(ctypes.byref(gradients))
        arguments.append(ctypes.c_void_p(pointer(memory)))
        parallel_for = ParallelFor(self.workers)
        stream = ctypes.c_void_p(self.stream)
        arguments.append(ctypes.byref(parallel_for) if self.device == "cpu" else stream)
        arguments += [error, ctypes.c_size_t(ctypes.sizeof(error))]
        status = getattr(self.library, self.prefix + FUNCTIONS[function])(*arguments)
        if status:
            raise CoreError(error.value.decode())
        if isinstance(memory, np.ndarray) and not (memory[count:] == 0xFF).all():
            raise CoreError(f"{FUNCTIONS[function]} wrote past its workspace of {count} bytes")

    def _allocate(self, count):
        """A workspace; on the host it is full of NaN, with a guard behind it."""
        if self.device == "cuda":
            return device_arrays().bytes(max(count, 1))
        memory = np.full(count + self.GUARD + 64, 0xFF, np.uint8)
        return memory[-memory.ctypes.data % 64 :][: count + self.GUARD]


class TorchArrays:
    """Bytes on the GPU, by PyTorch."""

    def __init__(self):
        import torch

        self.torch = torch

    def bytes(self, count):
        return self.torch.empty(count, dtype=self.torch.uint8, device="cuda")

    def put(self, array):
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).copy()
        return self.torch.from_numpy(flat).cuda()

    def get(self, handle):
        return handle.cpu().numpy()


class CupyArrays:
    """The same by CuPy."""

    def __init__(self):
        import cupy

        self.cupy = cupy

    def bytes(self, count):
        return self.cupy.empty(count, self.cupy.uint8)

    def put(self, array):
        return self.cupy.asarray(np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def get(self, handle):
        return self.cupy.asnumpy(handle)


_device_arrays = None


def device_arrays():
    global _device_arrays
    if _device_arrays is None:
        try:
            _device_arrays = TorchArrays()
        except ModuleNotFoundError:
            _device_arrays = CupyArrays()
    return _device_arrays


def main():
    from harness_cases import check_cases

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="libkeras_pac_core.so")
    parser.add_argument("--device", choices=("cpu", "cuda", "emulated"), default="cpu")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    library = options.library if "/" in options.library else "./" + options.library
    failures = check_cases(library, options.device, options.cases, options.seed, options.types)
    if options.speed:
        from harness_speed import print_speeds

        print_speeds(library)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

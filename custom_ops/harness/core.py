"""A library of the core (see keras_pac.h) through ctypes, on NumPy arrays or on a CUDA device."""

import ctypes
import dataclasses
import threading

import numpy as np

from custom_ops.harness.sizes import FILTER_TYPES, KERNEL_TYPES, TYPES, Sizes

FUNCTIONS = ("adapting_kernel", "adapting_kernel_gradient", "windowed_sum", "windowed_sum_gradient")
INPUTS = ("x adapting_kernel guide center valid_mask alpha exponent filter bias upstream").split()
OUTPUTS = "y adapting_kernel output_mask x guide center alpha exponent filter bias".split()
GUARD = 256

_enumerations = {"type": TYPES, "kernel_type": KERNEL_TYPES, "filter_type": FILTER_TYPES}
_pair = ctypes.c_int64 * 2


class _Sizes(ctypes.Structure):
    _fields_ = [
        (field.name, {int: ctypes.c_int64, tuple: _pair}.get(field.type, ctypes.c_int32))
        for field in dataclasses.fields(Sizes)
    ]

    def __init__(self, sizes):
        def value(name, given):
            if name in _enumerations:
                return _enumerations[name].index(given)
            return _pair(*given) if isinstance(given, tuple) else given

        super().__init__(**{name: value(name, given) for name, given in vars(sizes).items()})


class _Inputs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in INPUTS]


class _Outputs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in OUTPUTS]


class _Call(ctypes.Structure):
    _fields_ = [
        ("function", ctypes.c_int32),
        ("sizes", _Sizes),
        ("inputs", _Inputs),
        ("outputs", _Outputs),
    ]


_Part = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32)
_Run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, _Part, ctypes.c_void_p)


class _ParallelFor(ctypes.Structure):
    """kpac_parallel_for over Python threads: `workers` of them take parts one after another."""

    _fields_ = [("context", ctypes.c_void_p), ("workers", ctypes.c_int32), ("run", _Run)]

    def __init__(self, workers):
        super().__init__(None, workers, _Run(self._run_parts))

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
    """What the core refused, and why."""


class HostMemory:
    """NumPy arrays, as they are."""

    def put(self, array):
        return array

    def get(self, handle, like):
        return handle

    def address(self, array):
        return array.ctypes.data

    def workspace(self, count):
        """Bytes that are NaN in every type, with a guard behind them; aligned as by malloc."""
        memory = np.full(count + GUARD + 64, 0xFF, np.uint8)
        return memory[-memory.ctypes.data % 64 :][: count + GUARD]

    def written_past(self, workspace, count):
        return not (workspace[count:] == 0xFF).all()


class TorchMemory:
    """Bytes on the GPU, by PyTorch; nothing guards a workspace there."""

    def __init__(self):
        import torch

        self.torch = torch

    def put(self, array):
        return self.torch.from_numpy(_to_bytes(array)).cuda()

    def get(self, handle, like):
        return _from_bytes(handle.cpu().numpy(), like)

    def address(self, tensor):
        return tensor.data_ptr()

    def workspace(self, count):
        return self.torch.empty(max(count, 1), dtype=self.torch.uint8, device="cuda")

    def written_past(self, workspace, count):
        return False


class CupyMemory:
    """The same by CuPy."""

    def __init__(self):
        import cupy

        self.cupy = cupy

    def put(self, array):
        return self.cupy.asarray(_to_bytes(array))

    def get(self, handle, like):
        return _from_bytes(self.cupy.asnumpy(handle), like)

    def address(self, array):
        return array.data.ptr

    def workspace(self, count):
        return self.cupy.empty(max(count, 1), self.cupy.uint8)

    def written_past(self, workspace, count):
        return False


def _to_bytes(array):
    """A copy with one byte more: an empty array has no address on a GPU, and is still there."""
    return np.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8), np.uint8(0))


def _from_bytes(flat, like):
    return flat[: like.nbytes].view(like.dtype).reshape(like.shape)


def _memory(device):
    if device != "cuda":
        return HostMemory()
    try:
        return TorchMemory()
    except ModuleNotFoundError:
        return CupyMemory()


class Core:
    """The functions of keras_pac.h in a library, on one device.

    Args:
        path: the library.
        device: "cpu", "cuda", or "emulated": the CUDA functions of a library that was built to run
            them on the CPU.
        workers: threads, for "cpu".
        stream: the address of a CUDA stream, for "cuda".

    Attributes:
        memory: puts NumPy arrays where the device reads them, and gets them back.
    """

    def __init__(self, path, device="cpu", workers=1, stream=None):
        self.library = ctypes.CDLL(path)
        self.memory = _memory(device)
        prefix = "kpac_cpu_" if device == "cpu" else "kpac_cuda_"
        self._workspace = getattr(self.library, prefix + "workspace")
        self._workspace.restype = ctypes.c_int64
        self._run = getattr(self.library, prefix + "run")
        if device == "cpu":
            self._workers = [ctypes.c_int32(workers)]
            self._where = ctypes.byref(_ParallelFor(workers))
        else:
            self._workers, self._where = [], ctypes.c_void_p(stream)

    def run(self, function, sizes, inputs, outputs):
        """Run a function on arrays in the device's memory, by their names in keras_pac.h.

        What is missing or None is not there.
        """
        call = _Call(
            FUNCTIONS.index(function),
            _Sizes(sizes),
            _Inputs(**self._addresses(inputs)),
            _Outputs(**self._addresses(outputs)),
        )
        self._check(self.library.kpac_check, ctypes.byref(call))
        count = self._workspace(ctypes.byref(call), *self._workers)
        if count < 0:
            raise CoreError(f"there is no memory to count the workspace of {function}")
        workspace = self.memory.workspace(count)
        address = ctypes.c_void_p(self.memory.address(workspace))
        self._check(self._run, ctypes.byref(call), address, self._where)
        if self.memory.written_past(workspace, count):
            raise CoreError(f"{function} wrote past its workspace of {count} bytes")

    def _addresses(self, arrays):
        return {n: self.memory.address(a) for n, a in arrays.items() if a is not None}

    def _check(self, function, *arguments):
        error = ctypes.create_string_buffer(512)
        if function(*arguments, error, ctypes.c_size_t(ctypes.sizeof(error))):
            raise CoreError(error.value.decode())

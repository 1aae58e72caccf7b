"""Calls of the core's C interface with tensors of PyTorch, on the CPU or on a GPU."""

import ctypes
import functools
from typing import NamedTuple

import torch

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled.problem import INPUTS, OUTPUTS, SCALARS, Problem

_ERROR_SIZE = 512
# Every call that is planned with other shapes takes about 2 kB.
_PLANS = 1024


class _Inputs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in INPUTS]


class _Outputs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in OUTPUTS]


class _Call(ctypes.Structure):
    _fields_ = [
        ("function", ctypes.c_int32),
        ("wide_sizes", ctypes.c_int64 * 22),
        ("narrow_sizes", ctypes.c_int32 * 8),
        ("inputs", _Inputs),
        ("outputs", _Outputs),
    ]


class _ParallelFor(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("workers", ctypes.c_int32),
        ("run", ctypes.c_void_p),
    ]


class _Kind(NamedTuple):
    """All that a plan knows of a tensor."""

    shape: tuple
    dtype: torch.dtype


class _Plan(NamedTuple):
    """What calls with tensors of the same kinds have in common."""

    problem: Problem
    call: _Call  # its addresses only tell what is there
    workspace: int  # bytes
    parallel_for: _ParallelFor | None  # on the CPU


def run(is_sum, numbers, tensors, wanted=()):
    """{name: result} of the core: the outputs, or with an upstream gradient those that are wanted.

    Args:
        is_sum, numbers: of the `Problem`.
        tensors: {name: tensor}.
        wanted: the names of gradients.

    Raises:
        ValueError: for tensors that do not fit the problem or each other.
    """
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    kinds = tuple((name, _Kind(tensor.shape, tensor.dtype)) for name, tensor in tensors.items())
    device = device_of(tensors)
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    plan = _plan(is_sum, tuple(numbers), kinds, tuple(wanted), threads)
    results = new_results(plan.problem, tensors, wanted)
    call = _Call.from_buffer_copy(plan.call)
    _set_addresses(call.inputs, {name: tensor.data_ptr() for name, tensor in tensors.items()})
    _set_addresses(call.outputs, {name: tensor.data_ptr() for name, tensor in results.items()})
    workspace = torch.empty(plan.workspace, dtype=torch.uint8, device=device)
    address = ctypes.c_void_p(workspace.data_ptr())
    if plan.parallel_for is not None:
        _run_core("kpac_cpu_run", call, address, plan.parallel_for)
        return results
    with torch.cuda.device(device):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        _run_core("kpac_cuda_run", call, address, stream)
    return results


@functools.lru_cache(maxsize=_PLANS)
def _plan(is_sum, numbers, kinds, wanted, threads):
    """The plan for so many threads of the CPU; for a GPU if there are none."""
    problem, kinds = Problem.of_numbers(is_sum, numbers), dict(kinds)
    check(problem, kinds, wanted)
    sizes, gradient = problem.sizes(kinds), "upstream" in kinds
    call = _Call(problem.function(gradient), sizes[:22], sizes[22:])
    _set_addresses(call.inputs, dict.fromkeys(kinds, 0))
    _set_addresses(call.outputs, dict.fromkeys(wanted if gradient else problem.outputs(kinds), 0))
    _run_core("kpac_check", call)
    if threads:
        parallel_for = _core().kpac_cpu_threads(threads)
        workspace = _core().kpac_cpu_workspace(ctypes.byref(call), threads)
    elif library.has_cuda():
        parallel_for, workspace = None, _core().kpac_cuda_workspace(ctypes.byref(call))
    else:
        raise ValueError("The core was built without CUDA. The tensors are on a GPU")
    if workspace < 0:
        raise MemoryError("there is no memory to plan this with")
    return _Plan(problem, call, max(workspace, 1), parallel_for)


def device_of(tensors):
    """The device of all tensors; a ValueError if there are several."""
    devices = {tensor.device for tensor in tensors.values()}
    if len(devices) > 1:
        names = sorted(map(str, devices))
        raise ValueError(f"All tensors must be on one device. Received: {names}")
    return devices.pop()


def new_results(problem, tensors, wanted):
    """What `run` returns, without contents."""
    if "upstream" in tensors:
        return {name: tensors[name].new_empty(tensors[name].shape) for name in wanted}
    first = tensors["x" if problem.is_sum else "guide"]
    return {name: first.new_empty(shape) for name, shape in problem.outputs(tensors).items()}


def check(problem, kinds, wanted):
    """Raise a ValueError for shapes and types that do not fit; `kinds` can be tensors."""
    if wrong := [name for name in wanted if name not in kinds or name == "valid_mask"]:
        raise ValueError(f"There is no gradient by {wrong}")
    for name in ("x", "guide", "filter"):
        if name in kinds and len(kinds[name].shape) != 4:
            raise ValueError(f"`{name}` must have 4 axes. Received: {tuple(kinds[name].shape)}")
    dtype = kinds["x" if problem.is_sum else "guide"].dtype
    if not dtype.is_floating_point:
        raise ValueError(f"The tensors must be of a floating-point type. Received: {dtype}")
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    shapes = problem.inputs(kinds)
    for name, kind in kinds.items():
        if tuple(kind.shape) != tuple(shapes[name]):
            raise ValueError(
                f"`{name}` must have the shape {tuple(shapes[name])}. Received: {tuple(kind.shape)}"
            )
        expected = wide if name in SCALARS else dtype
        if kind.dtype != expected:
            raise ValueError(
                f"`{name}` must be of {expected}, since the first tensor is of {dtype}. "
                f"Received: {kind.dtype}"
            )


# What NULL is not: the address of a tensor without elements.
_NO_ELEMENTS = ctypes.addressof(ctypes.c_double())


def _set_addresses(fields, addresses):
    for name, address in addresses.items():
        setattr(fields, name, address or _NO_ELEMENTS)


def _run_core(function, call, *arguments):
    error = ctypes.create_string_buffer(_ERROR_SIZE)
    arguments = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in arguments]
    size = ctypes.c_size_t(_ERROR_SIZE)
    if getattr(_core(), function)(ctypes.byref(call), *arguments, error, size):
        raise ValueError(error.value.decode())


@functools.cache
def _core():
    core = library.load()
    if isinstance(core, str):
        raise RuntimeError(core)
    core.kpac_cpu_threads.restype = _ParallelFor
    core.kpac_cpu_workspace.restype = ctypes.c_int64
    if library.has_cuda():
        core.kpac_cuda_workspace.restype = ctypes.c_int64
    return core

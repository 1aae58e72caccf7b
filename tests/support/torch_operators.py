"""The operators of PyTorch themselves, arguments for them, and gradients of a `Case`."""

import torch

from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations.compiled import Options, on_torch
from keras_pac.ops._implementations.compiled.problem import Problem
from tests.support.runners import run_ops

assert on_torch  # to import it makes the operators
SUM, KERNEL = torch.ops.keras_pac.windowed_sum, torch.ops.keras_pac.adapting_kernel
SUM_GRADIENT = torch.ops.keras_pac.windowed_sum_gradient
KERNEL_GRADIENT = torch.ops.keras_pac.adapting_kernel_gradient
SUM_INPUTS = "x adapting_kernel guide center alpha exponent filter bias".split()
KERNEL_INPUTS = "guide center valid_mask alpha exponent".split()
WINDOW = convolution_window((5, 4), (3, 3), (1, 1), "same", (1, 1))


def ops_with_gradients(case, dtype):
    """(y, K, output mask, gradients) as arrays in float64."""
    dtype = getattr(torch, dtype)
    tensors = {name: torch.tensor(array.copy()).to(dtype) for name, array in case.arrays.items()}
    sources = {name: tensors[name].requires_grad_() for name in case.gradients}
    y, adapting, output_mask = run_ops(case, tensors)
    assert y.dtype == dtype
    gradients = torch.autograd.grad(y, sources.values(), torch.tensor(case.grad_y).to(dtype))
    gradients = {name: array_of(gradient) for name, gradient in zip(sources, gradients)}
    return array_of(y), array_of(adapting), array_of(output_mask), gradients


def array_of(tensor):
    return None if tensor is None else tensor.detach().to(torch.float64).numpy()


def ones(*shape, dtype=torch.float64):
    return torch.ones(shape, dtype=dtype)


def arguments(is_sum=True, given=False, kernel_type="gaussian", dtype=torch.float64, **changes):
    """Of an operator: 5 x 4 pixels, 3 channels to 2, a guide of 2, windows of 3 x 3."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        values = torch.rand(shape, dtype=torch.float64, generator=generator)
        return (values + 0.1).to(dtype).requires_grad_()

    tensors = {"x": draw(2, 5, 4, 3), "filter": draw(3, 3, 3, 2), "bias": draw(2)} if is_sum else {}
    if given:
        tensors["adapting_kernel"] = draw(2, 5, 4, 9, 1)
    else:
        tensors.update(guide=draw(2, 5, 4, 2), center=draw(2, 5, 4, 2))
        if kernel_type == "inverse":
            tensors.update(alpha=draw(1), exponent=draw(1))
    options = Options(kernel_type, normalize=changes.pop("normalize", False))
    tensors.update(changes)
    names = SUM_INPUTS if is_sum else KERNEL_INPUTS
    numbers = Problem(is_sum, WINDOW, options).numbers()
    return *(tensors.get(name) for name in names), numbers


MASK = torch.tensor([[1.0, 0, 1, 1]] * 5, dtype=torch.float64).expand(2, 5, 4)[..., None]

"""The core as operators of PyTorch.

An operator takes tensors and whole numbers, and a graph that holds it may be kept on disk by
`torch.compile` and run in another process: so a problem is given by its numbers.
"""

import dataclasses
import sys

import torch

from keras_pac.ops._implementations.compiled import native, portable_twin
from keras_pac.ops._implementations.compiled.problem import (
    Problem,
    before_softmax,
    has_image,
    there,
)

# PyTorch has it from 2.7 on.
_is_exporting = getattr(torch.compiler, "is_exporting", torch.jit.is_tracing)


def operations_here():
    """This module; None in an export, since another process has no keras_pac."""
    exporting = _is_exporting() or torch.jit.is_tracing()
    return None if exporting else sys.modules[__name__]


def adapting_kernel(tensors, window, options):
    """K, and the output mask or None."""
    adapting, output_mask = _ADAPTING_KERNEL(tensors, Problem(False, window, options))
    return adapting, None if tensors["valid_mask"] is None else output_mask


def windowed_sum(tensors, window, options):
    """y."""
    return _WINDOWED_SUM(tensors, Problem(True, window, options))


class _Operator:
    """The operator keras_pac::NAME, and keras_pac::NAME_gradient, which computes its gradients.

    Args:
        name: "windowed_sum" or "adapting_kernel".
        inputs: the names of the tensors; the first one is always there.
    """

    def __init__(self, name, inputs):
        self._inputs, self._is_sum = inputs, name == "windowed_sum"
        first, *others = inputs
        tensors = ", ".join([f"Tensor {first}", *(f"Tensor? {other}" for other in others)])
        outputs = "Tensor" if self._is_sum else "(Tensor, Tensor)"
        self._output = torch.library.custom_op(
            f"keras_pac::{name}",
            self._compute_output,
            schema=f"({tensors}, SymInt[] problem) -> {outputs}",
            mutates_args=(),
            device_types=("cpu", "cuda"),
        )
        self._output.register_fake(self._fake_output)
        self._output.register_autograd(self._backward, setup_context=self._save)
        self._gradients = torch.library.custom_op(
            f"keras_pac::{name}_gradient",
            self._compute_gradients,
            schema=f"({tensors}, Tensor upstream, SymInt[] problem, bool[] wanted) -> Tensor[]",
            mutates_args=(),
            device_types=("cpu", "cuda"),
        )
        self._gradients.register_fake(self._fake_gradients)
        self._gradients.register_autograd(
            self._backward_of_gradients, setup_context=self._save_of_gradients
        )

    def __call__(self, tensors, problem):
        return self._output(*(tensors.get(name) for name in self._inputs), problem.numbers())

    def _compute_output(self, *arguments):
        *values, numbers = arguments
        return self._in_order(native.run(self._is_sum, numbers, self._named(values)))

    def _fake_output(self, *arguments):
        *values, numbers = arguments
        return self._in_order(self._fake(self._named(values), numbers))

    def _compute_gradients(self, *arguments):
        *values, upstream, numbers, wanted = arguments
        tensors = {**self._named(values), "upstream": upstream}
        return list(native.run(self._is_sum, numbers, tensors, self._chosen(wanted)).values())

    def _fake_gradients(self, *arguments):
        *values, upstream, numbers, wanted = arguments
        tensors = {**self._named(values), "upstream": upstream}
        return list(self._fake(tensors, numbers, self._chosen(wanted)).values())

    def _fake(self, tensors, numbers, wanted=()):
        """What `native.run` would return, without contents, on any one device."""
        native.device_of(tensors)
        problem = Problem.of_numbers(self._is_sum, numbers)
        native.check(problem, tensors, wanted)
        return native.new_results(problem, tensors, wanted)

    def _save(self, ctx, inputs, output):
        *values, numbers = inputs
        ctx.problem = Problem.of_numbers(self._is_sum, numbers)
        ctx.save_for_backward(*values, output if ctx.problem.options.softmax else None)

    def _backward(self, ctx, upstream, *_):
        *values, y = ctx.saved_tensors
        if y is not None:
            upstream = before_softmax(y, upstream)
        tensors, found = self._named(values), {}
        if has_image(tensors):
            del tensors["bias"]
            found["bias"] = upstream
        needed = zip(self._inputs, ctx.needs_input_grad)
        wanted = [need and name in tensors and name != "valid_mask" for name, need in needed]
        values = [tensors.get(name) for name in self._inputs]
        numbers = ctx.problem.of_gradient().numbers()
        gradients = self._gradients(*values, upstream, numbers, wanted)
        found.update(zip(self._chosen(wanted), gradients))
        return *(found.get(name) for name in self._inputs), None

    def _save_of_gradients(self, ctx, inputs, output):
        *values, ctx.numbers, ctx.wanted = inputs
        ctx.save_for_backward(*values)

    def _backward_of_gradients(self, ctx, factors):
        """Derivatives of the gradients are those of the portable code."""
        higher = torch.is_grad_enabled()
        with torch.enable_grad():
            *values, upstream = map(_differentiable, ctx.saved_tensors)
            tensors = self._named(values)
            problem = Problem.of_numbers(self._is_sum, ctx.numbers)
            problem = dataclasses.replace(problem, window=problem.window.window())
            output = portable_twin.output(problem, tensors).to(upstream.dtype)
            by = [value for value, want in zip(values, ctx.wanted) if want]
            gradients = torch.autograd.grad(output, by, upstream, create_graph=True)
            sources = [
                value for value, need in zip([*values, upstream], ctx.needs_input_grad) if need
            ]
            found = iter(
                torch.autograd.grad(
                    gradients, sources, factors, create_graph=higher, allow_unused=True
                )
            )
        return *(next(found) if need else None for need in ctx.needs_input_grad[:-2]), None, None

    def _named(self, values):
        return there(dict(zip(self._inputs, values)))

    def _chosen(self, wanted):
        return [name for name, want in zip(self._inputs, wanted, strict=True) if want]

    def _in_order(self, outputs):
        """The outputs as the operator returns them; no elements stand for a mask that isn't."""
        if self._is_sum:
            return outputs["y"]
        adapting = outputs["adapting_kernel"]
        return adapting, outputs.get("output_mask", adapting.new_empty(0))


def _differentiable(tensor):
    """The tensor, as one that a derivative can be taken by; None remains."""
    if tensor is None:
        return None
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


_WINDOWED_SUM = _Operator(
    "windowed_sum", "x adapting_kernel guide center alpha exponent filter bias".split()
)
_ADAPTING_KERNEL = _Operator("adapting_kernel", "guide center valid_mask alpha exponent".split())

"""The core as a target of XLA's foreign function interface, in JAX."""

import dataclasses
import functools
import sys

import jax
from jax.custom_derivatives import SymbolicZero

from keras_pac.ops._implementations.call_stack import on_the_call_stack
from keras_pac.ops._implementations.compiled import jax_call, portable_twin
from keras_pac.ops._implementations.compiled.problem import Problem, there

# Modules that trace a function for another process, which has no keras_pac.
_EXPORTERS = "jax._src.export.", "jax.experimental.jax2tf", "keras.src.export."


def operations_here():
    """This module; None where the call comes from an export."""
    return None if on_the_call_stack(_EXPORTERS) else sys.modules[__name__]


def adapting_kernel(tensors, window, options):
    """K, and the output mask or None."""
    outputs = _compute(Problem(False, window, options), _varying_alike(there(tensors)))
    return outputs["adapting_kernel"], outputs.get("output_mask")


def windowed_sum(tensors, window, options):
    """y."""
    return _compute(Problem(True, window, options), _varying_alike(there(tensors)))["y"]


def _axes(tensor):
    """The axes of a mesh along which a tensor differs inside `jax.shard_map`."""
    if not hasattr(jax.lax, "pcast"):  # an older JAX, which does not tell
        return frozenset()
    kind = jax.typeof(tensor)
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma  # JAX 0.9


def _varying(tensor, axes):
    missing = tuple(axes - _axes(tensor))
    return jax.lax.pcast(tensor, missing, to="varying") if missing else tensor


def _varying_alike(tensors):
    """Tensors that differ along the same axes, as JAX wants it of those of one call.

    The gradient of one that did not is then the sum along these axes.
    """
    axes = frozenset().union(*map(_axes, tensors.values()))
    return {name: _varying(tensor, axes) for name, tensor in tensors.items()}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _compute(problem, tensors):
    """{name: output}."""
    return _call(problem, tensors)


def _compute_forward(problem, tensors):
    values = {name: primal.value for name, primal in tensors.items()}
    wanted = tuple(n for n, primal in tensors.items() if primal.perturbed and n != "valid_mask")
    return _compute(problem, values), (values, _Names(wanted))


def _compute_backward(problem, saved, upstream):
    tensors, wanted = saved
    upstream = upstream["y" if problem.is_sum else "adapting_kernel"]
    if isinstance(upstream, SymbolicZero) or not wanted.names:
        gradients = {}
    else:
        gradients = _gradients(problem, wanted.names, tensors, upstream)
    return ({name: gradients.get(name) for name in tensors},)


_compute.defvjp(_compute_forward, _compute_backward, symbolic_zeros=True)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gradients(problem, wanted, tensors, upstream):
    """{name: gradient of sum(output * upstream)} by the tensors that are wanted."""
    return _call(problem, {**tensors, "upstream": upstream}, wanted)


def _gradients_forward(problem, wanted, tensors, upstream):
    return _gradients(problem, wanted, tensors, upstream), (tensors, upstream)


def _gradients_backward(problem, wanted, saved, upstream):
    """Derivatives of the gradients are those of the portable code."""

    def gradients(tensors, upstream):
        def output(by):
            return portable_twin.output(problem, {**tensors, **by}).astype(upstream.dtype)

        _, pull_back = jax.vjp(output, {name: tensors[name] for name in wanted})
        return pull_back(upstream)[0]

    _, pull_back = jax.vjp(gradients, *saved)
    return pull_back(upstream)


_gradients.defvjp(_gradients_forward, _gradients_backward)


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class _Names:
    """Names that are known while a graph is traced."""

    names: tuple

    def tree_flatten(self):
        return (), self.names

    @classmethod
    def tree_unflatten(cls, names, _):
        return cls(names)


def _call(problem, tensors, wanted=()):
    """`jax_call.call`; the results differ inside `jax.shard_map` along the axes of the tensors."""
    axes = frozenset().union(*map(_axes, tensors.values()))
    results = jax_call.call(problem, tensors, wanted)
    return {name: _varying(value, axes) for name, value in results.items()}

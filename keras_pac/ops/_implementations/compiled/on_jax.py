"""The core as a target of XLA's foreign function interface, in JAX."""

import dataclasses
import functools
import sys

import jax
from jax.custom_derivatives import SymbolicZero

from keras_pac.ops._implementations.call_stack import on_the_call_stack
from keras_pac.ops._implementations.compiled import jax_call, portable_twin
from keras_pac.ops._implementations.compiled.problem import (
    Problem,
    before_softmax,
    has_image,
    there,
)
from keras_pac.ops._implementations.mesh_axes import axes_of, varying, varying_alike
from keras_pac.ops._implementations.own_gradient import own_gradients_left_out

# Modules that trace a function for another process, which has no keras_pac.
_EXPORTERS = "jax._src.export.", "jax.experimental.jax2tf", "keras.src.export."


def operations_here():
    """This module; None where the call comes from an export."""
    return None if on_the_call_stack(_EXPORTERS) else sys.modules[__name__]


def adapting_kernel(tensors, window, options):
    """K, and the output mask or None."""
    outputs = _compute(Problem(False, window, options), _alike(there(tensors)))
    return outputs["adapting_kernel"], outputs.get("output_mask")


def windowed_sum(tensors, window, options):
    """y."""
    return _compute(Problem(True, window, options), _alike(there(tensors)))["y"]


def _alike(tensors):
    return dict(zip(tensors, varying_alike(tensors.values())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _compute(problem, tensors):
    """{name: output}."""
    return _output(problem, tensors)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _output(problem, tensors):
    return _call(problem, tensors)


@_output.defjvp
def _derivatives_of_output(problem, values, tangents):
    """Where JAX differentiates a reverse pass forwards, as for Hessians."""
    portable = functools.partial(portable_twin.outputs, problem)
    with own_gradients_left_out():
        return _output(problem, *values), jax.jvp(portable, values, tangents)[1]


def _compute_forward(problem, tensors):
    values = {name: primal.value for name, primal in tensors.items()}
    wanted = tuple(n for n, primal in tensors.items() if primal.perturbed and n != "valid_mask")
    outputs = _output(problem, values)
    return outputs, (values, outputs if problem.options.softmax else None, _Names(wanted))


def _compute_backward(problem, saved, upstream):
    tensors, outputs, wanted = saved
    upstream = upstream["y" if problem.is_sum else "adapting_kernel"]
    if isinstance(upstream, SymbolicZero):
        return (dict.fromkeys(tensors),)
    if problem.options.softmax:
        upstream = before_softmax(outputs["y"], upstream)
    gradients, inputs = {}, dict(tensors)
    if has_image(tensors):
        del inputs["bias"]
        gradients["bias"] = upstream
    if names := tuple(name for name in wanted.names if name in inputs):
        gradients.update(_gradients(problem.of_gradient(), names, inputs, upstream))
    return ({name: gradients.get(name) for name in tensors},)


_compute.defvjp(_compute_forward, _compute_backward, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _gradients(problem, wanted, tensors, upstream):
    """{name: gradient of sum(output * upstream)} by the tensors that are wanted."""
    return _call(problem, {**tensors, "upstream": upstream}, wanted)


@_gradients.defjvp
def _derivatives_of_gradients(problem, wanted, values, tangents):
    """Derivatives of the gradients are those of the portable code."""

    def gradients(tensors, upstream):
        def output(by):
            return portable_twin.output(problem, {**tensors, **by}).astype(upstream.dtype)

        _, pull_back = jax.vjp(output, {name: tensors[name] for name in wanted})
        return pull_back(upstream)[0]

    return _gradients(problem, wanted, *values), jax.jvp(gradients, values, tangents)[1]


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
    results = jax_call.call(problem, tensors, wanted)
    return dict(zip(results, varying(results.values(), axes_of(tensors.values()))))

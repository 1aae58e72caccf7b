"""Layers as functions of JAX, and what they call."""

import jax
import jax.numpy as jnp
import keras

from keras_pac.ops._implementations.compiled.problem import OUTPUTS
from tests.support.layer_cases import inputs_of, layer_of, shaken


def calls_of_the_core(function, *arguments):
    """For every call of the core in a function: the names of what it writes."""
    found = []

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "ffi_call":
                written = dict(equation.params["attributes"])["outputs"]
                found.append({name for k, name in enumerate(OUTPUTS) if written >> k & 1})
            for parameter in jax.tree.leaves(equation.params):
                inner = getattr(parameter, "jaxpr", parameter)
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found


def layer_loss(layer):
    """A loss as a function of x, guide and the layer's weights, and these weights."""

    def loss(x, guide, weights):
        with keras.StatelessScope(state_mapping=list(zip(layer.weights, weights))):
            return jnp.sin(layer([x, guide])).sum()

    return loss, [weight.value for weight in layer.weights]


def built(name, rng, **sizes):
    """A layer of the table, its loss, and arguments of the loss."""
    dtype = sizes.pop("dtype", "float64")
    x, guide = (jnp.asarray(array, dtype) for array in inputs_of(name, rng, **sizes))
    layer = layer_of(name, dtype=dtype)
    layer.build([x.shape, guide.shape])
    shaken(layer, rng)
    loss, weights = layer_loss(layer)
    return layer, loss, (x, guide, weights)

"""Along which axes of a mesh tensors differ inside `jax.shard_map`."""

import jax


def axes_of(tensors):
    """The axes along which any of the tensors differs."""
    return frozenset().union(*map(_axes, tensors))


def _axes(tensor):
    if not hasattr(jax.lax, "pcast"):  # an older JAX, which does not tell
        return frozenset()
    kind = jax.typeof(tensor)
    return kind.mat.varying if hasattr(kind, "mat") else kind.vma  # JAX 0.9


def varying(tensors, axes):
    """The tensors, as ones that differ along these axes, too."""
    missing = [tuple(axes - _axes(tensor)) for tensor in tensors]
    return [
        jax.lax.pcast(tensor, along, to="varying") if along else tensor
        for tensor, along in zip(tensors, missing)
    ]


def varying_alike(tensors):
    """Tensors that differ along the same axes, as JAX wants it of those of one call.

    The gradient of one that did not is then the sum along these axes.
    """
    return varying(tensors, axes_of(tensors))

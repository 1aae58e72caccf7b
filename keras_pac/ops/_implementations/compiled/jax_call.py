"""A call of the core in a program of JAX: alone, under `vmap`, shared by several devices."""

import functools
import itertools
import math

import jax
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled.problem import INPUTS, OUTPUTS, SCALARS, bits


def call(problem, tensors, wanted=()):
    """{name: result}: the outputs, or with an upstream gradient the gradients that are wanted."""
    library.load()
    compute = functools.partial(_call, problem, wanted)
    if jax.device_count() > 1:
        compute = _shared(compute, _ranks(tensors), _ranks(jax.eval_shape(compute, tensors)))
    return compute(tensors)


def _call(problem, wanted, tensors):
    gradient = "upstream" in tensors
    shapes = {n: tensors[n].shape for n in wanted} if gradient else problem.outputs(tensors)
    operands = [name for name in INPUTS if name in tensors]
    results = [name for name in OUTPUTS if name in shapes]
    dtype = tensors["x" if problem.is_sum else "guide"].dtype
    wide = np.float64 if dtype == np.float64 else np.float32
    types = [
        jax.ShapeDtypeStruct(tuple(shapes[name]), wide if name in SCALARS else dtype)
        for name in results
    ]
    values = jax.ffi.ffi_call(library.XLA_TARGET, types, vmap_method="expand_dims")(
        *(tensors[name] for name in operands),
        function=np.int32(problem.function(gradient)),
        sizes=np.array(problem.sizes(tensors), np.int64),
        inputs=np.int64(bits(operands, INPUTS)),
        outputs=np.int64(bits(results, OUTPUTS)),
    )
    return dict(zip(results, values))


def _shared(compute, tensors, results):
    """`compute`, of which every device does its share of the batch where the batch is shared.

    XLA can't look into a call, and would give each device all of it.

    Args:
        tensors, results: {name: rank}.
    """

    def shardings(ranks, mesh, batch):
        return {
            name: NamedSharding(mesh, PartitionSpec(batch if _has_batch(name, rank) else None))
            for name, rank in ranks.items()
        }

    def partition(mesh, arguments, _):
        batch = _batch_axes(mesh, *arguments)

        def share(tensors):
            values = compute(tensors)
            if batch is None:
                return values
            return {
                name: value if _has_batch(name, value.ndim) else jax.lax.psum(value, batch)
                for name, value in values.items()
            }

        return mesh, share, shardings(results, mesh, batch), (shardings(tensors, mesh, batch),)

    def infer(mesh, arguments, _):
        return shardings(results, mesh, _batch_axes(mesh, *arguments))

    on_devices = custom_partitioning(compute)
    on_devices.def_partition(
        partition, infer_sharding_from_operands=infer, sharding_rule=_rule(tensors, results)
    )
    function = jax.custom_batching.custom_vmap(on_devices)

    @function.def_vmap
    def vmapped(_, is_batched, tensors):
        """A vmapped call is done as a whole by every device."""
        axes = {name: 0 if is_batched[0][name] else None for name in tensors}
        return jax.vmap(compute, (axes,))(tensors), dict.fromkeys(results, True)

    return function


def _has_batch(name, rank):
    """Whether the first axis is the batch: not of weights, but of a bias that is an image."""
    return rank > 1 and name != "filter"


def _rule(tensors, results):
    """Which axes of the tensors are one and the same, for Shardy: the batch alone."""
    axes = map("axis{}".format, itertools.count())

    def mapping(name, rank):
        first = "batch" if _has_batch(name, rank) else next(axes)
        return " ".join([first, *itertools.islice(axes, rank - 1)])

    return " -> ".join(
        ", ".join(mapping(name, ranks[name]) for name in sorted(ranks))
        for ranks in (tensors, results)
    )


def _batch_axes(mesh, tensors):
    """The axes of the mesh between whose devices the batch is shared; None if it is not."""
    for name, tensor in tensors.items():
        spec = getattr(tensor.sharding, "spec", None)  # none where JAX does not know the mesh
        if _has_batch(name, len(tensor.shape)) and spec and spec[0] is not None:
            axes = spec[0] if isinstance(spec[0], tuple) else (spec[0],)
            shares = math.prod(mesh.shape[axis] for axis in axes)
            return spec[0] if tensor.shape[0] % shares == 0 else None
    return None


def _ranks(tensors):
    return {name: len(tensor.shape) for name, tensor in tensors.items()}

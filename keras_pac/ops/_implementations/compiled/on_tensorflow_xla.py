"""The core inside XLA, where TensorFlow compiles a function with `jit_compile=True`.

XLA calls the core by its foreign function interface. TensorFlow has no operation for such a call,
but one for a module in StableHLO, the language that XLA reads (`XlaCallModule`): this is the text
of a module that does nothing but the call. The batch may be unknown while the function is traced;
for other unknown sizes the portable code stands in.
"""

import functools

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled import portable_twin
from keras_pac.ops._implementations.compiled.higher_derivatives import derivatives
from keras_pac.ops._implementations.compiled.problem import (
    INPUTS,
    OUTPUTS,
    SCALARS,
    Problem,
    bits,
    has_image,
    there,
)

_VERSION = 9  # of the operation's contract
_TYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}


def adapting_kernel(tensors, window, options):
    """K, and the output mask or None."""
    outputs = _compute(Problem(False, window, options), there(tensors))
    return outputs["adapting_kernel"], outputs.get("output_mask")


def windowed_sum(tensors, window, options):
    """y. XLA itself fuses, and differentiates, an image that is added and a softmax."""
    tensors, problem = there(tensors), Problem(True, window, options)
    image = tensors.pop("bias") if has_image(tensors) else None
    y = _compute(problem.of_gradient(), tensors)["y"]
    y = y if image is None else y + image
    return tf.nn.softmax(y) if options.softmax else y


def _compute(problem, tensors):
    """{name: output}."""
    if not _sizes_are_known(problem, tensors):
        return portable_twin.outputs(problem, tensors)
    names = tuple(tensors)

    @tf.custom_gradient
    def compute(*values):
        tensors = dict(zip(names, values))
        outputs = _call(problem, False, tensors, problem.outputs(tensors))

        def gradient(upstream, *_):
            by = tuple(name for name in names if name != "valid_mask")
            found = dict(zip(by, _gradients(problem, by, names, values, upstream)))
            return [found.get(name) for name in names]

        return list(outputs.values()), gradient

    outputs = compute(*tensors.values())
    return dict(zip(problem.outputs(tensors), outputs))


def _gradients(problem, by, names, values, upstream):
    """The gradients of sum(output * upstream)."""

    @tf.custom_gradient
    def gradients(*arguments):
        *values, upstream = arguments
        tensors = dict(zip(names, values))
        shapes = {name: tensors[name].shape for name in by}
        found = _call(problem, True, {**tensors, "upstream": upstream}, shapes)

        def gradient(*factors):
            return derivatives(
                lambda: portable_twin.output(problem, tensors),
                [tensors[name] for name in by],
                upstream,
                factors,
                list(arguments),
            )

        return [found[name] for name in by], gradient

    return gradients(*values, upstream)


def _sizes_are_known(problem, tensors):
    """Whether all sizes but the batch are known."""
    sizes = [size for tensor in tensors.values() for size in _without_batch(tensor)]
    window = problem.window
    sizes += [*window.input_size, *window.output_size, *window.before]
    return all(isinstance(size, int) for size in sizes)


def _without_batch(tensor):
    return tensor.shape[1:] if tensor.shape.rank > 3 else tensor.shape


def _call(problem, gradient, tensors, shapes):
    """Run a function of the core; {name: result} for {name: shape}."""
    operands = [name for name in INPUTS if name in tensors]
    results = [name for name in OUTPUTS if name in shapes]
    dtype = keras.backend.standardize_dtype(tensors["x" if problem.is_sum else "guide"].dtype)
    wide = "float64" if dtype == "float64" else "float32"

    def typed(name, shape):
        return tuple(shape), wide if name in SCALARS else dtype

    shapes = [typed(name, shapes[name]) for name in results]
    module = _module(
        problem.function(gradient),
        problem.sizes(tensors),
        tuple(typed(name, tensors[name].shape) for name in operands),
        tuple(shapes),
        (bits(operands, INPUTS), bits(results, OUTPUTS)),
    )
    values = gen_xla_ops.xla_call_module(
        args=[tensors[name] for name in operands],
        version=_VERSION,
        module=module,
        Sout=[shape for shape, _ in shapes],
        Tout=[tf.as_dtype(type) for _, type in shapes],
        platforms=["CPU"],
    )
    return dict(zip(results, values))


@functools.lru_cache(maxsize=256)
def _module(function, sizes, operands, results, presence):
    """The text of a module: its function `main` is one call of the core.

    The shape of each result is an operand too. XLA computes it, once it knows the batch, and drops
    it.
    """
    inputs, outputs = [_tensor_type(*one) for one in operands], [_tensor_type(*r) for r in results]
    names = [f"%arg{i}" for i in range(len(inputs))]
    body, shapes, types = [], [], []
    for i, (shape, _) in enumerate(results):
        dimensions = []
        for axis, size in enumerate(shape):
            value = f"%size{i}_{axis}"
            dimensions.append(value)
            if size is None:  # the batch
                body += [
                    f"{value}_ = stablehlo.get_dimension_size %arg0, dim = 0 "
                    f": ({inputs[0]}) -> tensor<i32>",
                    f"{value} = stablehlo.reshape {value}_ : (tensor<i32>) -> tensor<1xi32>",
                ]
            else:
                body.append(f"{value} = stablehlo.constant dense<{size}> : tensor<1xi32>")
        ones = ", ".join(["tensor<1xi32>"] * len(shape))
        body.append(
            f"%shape{i} = stablehlo.concatenate {', '.join(dimensions)}, dim = 0 "
            f": ({ones}) -> tensor<{len(shape)}xi32>"
        )
        shapes.append(f"%shape{i}")
        types.append(f"tensor<{len(shape)}xi32>")
    attributes = (
        f"function = {function} : i32, sizes = array<i64: {', '.join(map(str, sizes))}>, "
        f"inputs = {presence[0]} : i64, outputs = {presence[1]} : i64"
    )
    indices = ", ".join(str(len(names) + i) for i in range(len(shapes)))
    result_types = ", ".join(outputs)
    body.append(
        f"%result:{len(outputs)} = stablehlo.custom_call @{library.XLA_TARGET}"
        f"({', '.join([*names, *shapes])}) {{api_version = 4 : i32, "
        f"backend_config = {{{attributes}}}, "
        f"indices_of_shape_operands = dense<[{indices}]> : tensor<{len(shapes)}xi64>}} "
        f": ({', '.join([*inputs, *types])}) -> ({result_types})"
    )
    body.append(f"return {', '.join(f'%result#{i}' for i in range(len(outputs)))} : {result_types}")
    arguments = ", ".join(f"{name}: {type}" for name, type in zip(names, inputs))
    return "\n".join(
        [
            "module @keras_pac attributes {jax.uses_shape_polymorphism = true} {",
            f"func.func public @main({arguments}) -> ({result_types}) {{",
            *body,
            "}",
            "}",
        ]
    )


def _tensor_type(shape, dtype):
    sizes = "".join("?x" if size is None else f"{size}x" for size in shape)
    return f"tensor<{sizes}{_TYPES[dtype]}>"

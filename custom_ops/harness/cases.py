"""Random small problems, and how far a library's results are from the reference."""

import dataclasses
import random

import numpy as np

from custom_ops.harness import reference
from custom_ops.harness.core import INPUTS, OUTPUTS, Core, CoreError
from custom_ops.harness.sizes import KERNEL_TYPES, Sizes

# Relative to the largest element: inputs are rounded before both compute. float32 sums some hundred
# terms, of which a normalised K cancels some; in float16 and bfloat16 the result is rounded, and so
# is K x before tensor cores take it.
TOLERANCES = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 5e-5, "float64": 1e-10}
# Which tensors have the wider type (see keras_pac.h).
WIDE = ("alpha", "exponent")


def encode(array, type_name):
    """float64 to the storage of a type; bfloat16 as uint16, since NumPy has none."""
    if type_name != "bfloat16":
        return np.ascontiguousarray(array, type_name)
    bits = np.ascontiguousarray(array, "float32").view("uint32")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("uint16")


def decode(array, type_name):
    """The storage of a type as float64."""
    if type_name != "bfloat16":
        return array.astype("float64")
    return (array.astype("uint32") << 16).view("float32").astype("float64")


class Case:
    """Random sizes, options and inputs: everything that kpac_check lets through.

    Attributes:
        sizes: its `Sizes`.
        function: the function whose results and gradients are asked for.
        inputs: {name: float64 array} of what is there, `upstream` included.
        stored: the same in the types of storage.
        wanted: the names of the inputs whose gradients are asked for.
    """

    def __init__(self, seed, types):
        self.random, self.values = random.Random(seed), np.random.default_rng(seed)
        self.type = self.random.choice(types)
        is_sum = self.random.random() < 0.7
        self.function = "windowed_sum" if is_sum else "adapting_kernel"
        given = self._draw_sizes(is_sum)
        self._draw_inputs(self._shapes(is_sum, given))
        names = [name for name in self.inputs if name in OUTPUTS and not self._is_image(name)]
        if self.random.random() < 0.5:
            self.wanted = names
        else:
            self.wanted = [name for name in names if self.random.random() < 0.6]

    def _is_image(self, name):
        return name == "bias" and self.sizes.bias_image

    def _draw_sizes(self, is_sum):
        """Set the sizes, and return whether K is given."""
        r = self.random

        def channels():
            return r.choice([1, 2, 3, 4, 5, 7, 8, 16, 17, 20, 32, 33, 48, 64, 65, 72])

        def side():
            return r.choice([1, 2, 3, 5, 7, 8, 11, 17, 23])

        def pair(draw):
            return (draw(), draw())

        filter_type = r.choice(["pooling", "shared", "full", "full"])
        given = is_sum and r.random() < 0.5
        channel_wise = r.random() < 0.4 and (given and filter_type != "full" or not is_sum)
        input_channels = channels()
        batch = r.choice([0, 1, 1, 1, 2, 2, 3])
        kernel_size = pair(lambda: r.choice([1, 3, 3, 5]))
        dilation = pair(lambda: r.choice([1, 1, 2, 3]))
        strides, input_dilation = pair(lambda: r.choice([1, 1, 2, 3])), (1, 1)
        guide_size = input_size = pair(side)
        guide_padding = padding = pair(lambda: r.randint(-1, 5))
        output_size = tuple(
            max(0, (n + 2 * p - d * (k - 1) - 1) // s + 1)
            for n, p, d, k, s in zip(input_size, padding, dilation, kernel_size, strides)
        )
        if r.random() < 0.3:  # transposed
            strides, input_dilation = (1, 1), pair(lambda: r.choice([1, 2, 3]))
            padding = tuple((k - 1) * d - r.randint(0, 2) for k, d in zip(kernel_size, dilation))
            guide_padding = tuple(k // 2 * d for k, d in zip(kernel_size, dilation))
            guide_size = output_size = tuple(
                max(0, (n - 1) * s + 1 + p) for n, s, p in zip(input_size, input_dilation, padding)
            )
        if r.random() < 0.15:  # whatever else the interface allows
            output_size, guide_size = pair(side), pair(side)
            guide_padding = pair(lambda: r.randint(-3, 4))
        self.sizes = Sizes(
            batch=batch,
            input_size=input_size,
            guide_size=guide_size,
            output_size=output_size,
            input_channels=input_channels,
            output_channels=channels() if filter_type == "full" else input_channels,
            guide_channels=0 if given else channels() if r.random() < 0.3 else r.randint(1, 6),
            kernel_size=kernel_size,
            strides=strides,
            input_dilation=input_dilation,
            dilation=dilation,
            padding=padding,
            guide_padding=guide_padding,
            type=self.type,
            kernel_type=r.choice(KERNEL_TYPES),
            filter_type=filter_type,
            asymmetric=r.random() < 0.3,
            channel_wise=channel_wise,
            normalize=not is_sum and r.random() < 0.4,
            softmax=is_sum and r.random() < 0.3,
        )
        return given

    def _shapes(self, is_sum, given):
        """{name: shape} of the inputs that are there."""
        s, r, shapes = self.sizes, self.random, {}
        pixels = (s.batch, *s.output_size)
        if is_sum:
            shapes["x"] = (s.batch, *s.input_size, s.input_channels)
            if s.filter_type == "full":
                shapes["filter"] = (s.taps, s.input_channels, s.output_channels)
            elif s.filter_type == "shared":
                shapes["filter"] = (s.taps,)
            if r.random() < 0.5:
                image = r.random() < 0.4
                self.sizes = s = dataclasses.replace(s, bias_image=image)
                shapes["bias"] = (*(pixels if image else ()), s.output_channels)
        values = 1
        if s.channel_wise:
            values = s.input_channels if is_sum else s.guide_channels
        k_shape = (*pixels, s.taps, values)
        if given:
            shapes["adapting_kernel"] = k_shape
        else:
            shapes["guide"] = (s.batch, *s.guide_size, s.guide_channels)
            if r.random() < 0.4:
                shapes["center"] = shapes["guide"]
            if s.kernel_type == "inverse":
                shapes["alpha"] = shapes["exponent"] = (values,)
        if not is_sum and r.random() < 0.4:
            shapes["valid_mask"] = (s.batch, *s.input_size)
        shapes["upstream"] = (*pixels, s.output_channels) if is_sum else k_shape
        return shapes

    def _draw_inputs(self, shapes):
        self.stored, self.inputs = {}, {}
        for name in (name for name in INPUTS if name in shapes):
            array = self.values.standard_normal(shapes[name])
            if name in ("guide", "center"):
                array *= 1.5 / max(1, self.sizes.guide_channels) ** 0.5
            elif name == "valid_mask":
                array = (array > self.random.choice([-1, 0, 1, 9])).astype(float)
            elif name in WIDE:
                array = 0.4 * array + (0.8 if name == "alpha" else -0.3)
            self.stored[name] = encode(array, self.type_of(name))
            self.inputs[name] = decode(self.stored[name], self.type_of(name))

    def type_of(self, name):
        """The type of a tensor."""
        return "float32" if name in WIDE and self.type != "float64" else self.type

    def __str__(self):
        return f"{self.function} {self.sizes} inputs {list(self.inputs)} wanted {self.wanted}"

    def expected(self):
        """{name in kpac_outputs: float64 array} of the results and the gradients."""
        if self.function == "windowed_sum":
            results = {"y": reference.windowed_sum(self.sizes, self.inputs)}
            gradients = reference.windowed_sum_gradient(self.sizes.of_gradient(), self.inputs)
        else:
            adapting, output_mask = reference.adapting_kernel(self.sizes, self.inputs)
            results = {"adapting_kernel": adapting}
            if output_mask is not None:
                results["output_mask"] = output_mask
            gradients = reference.adapting_kernel_gradient(self.sizes, self.inputs)
        return {**results, **{name: gradients[name] for name in self.wanted}}

    def run(self, core, expected):
        """The same by the core, in the types of storage."""
        memory, received = core.memory, {}
        inputs = {name: memory.put(array) for name, array in self.stored.items()}
        results = [name for name in expected if name not in self.wanted]
        without_image = {n: array for n, array in inputs.items() if not self._is_image(n)}
        for function, sizes, given, names in (
            (self.function, self.sizes, inputs, results),
            (f"{self.function}_gradient", self.sizes.of_gradient(), without_image, self.wanted),
        ):
            unwritten = {
                name: encode(np.full(expected[name].shape, np.nan), self.type_of(name))
                for name in names
            }
            outputs = {name: memory.put(array) for name, array in unwritten.items()}
            core.run(function, sizes, given, outputs)
            received.update({name: memory.get(outputs[name], unwritten[name]) for name in names})
        return received

    def differences(self, expected, received):
        """[text] for every result that is too far from the reference."""
        found = []
        for name, array in expected.items():
            result = decode(received[name], self.type_of(name))
            if self.type_of(name) == "float16":  # beyond its range both are as good as infinite
                array, result = (np.clip(v, -6e4, 6e4) for v in (array, result))
            if array.size == 0:
                continue
            # These gradients are sums over all pixels of terms of both signs, which cancel.
            tolerance = TOLERANCES[self.type] * (20 if name in WIDE else 1)
            error = np.max(np.abs(result - array)) / max(np.max(np.abs(array)), 1e-2)
            if not error <= tolerance:
                found.append(f"{name}: {error:.2e} > {tolerance:.0e}")
        return found


def variants(library, device):
    """[(name, core)] whose results must be bitwise equal."""
    if device == "cpu":
        return [(f"{n} threads", Core(library, device, n)) for n in (1, 2, 4)]
    core = Core(library, device)
    return [("a first run", core), ("a second run", core)]


def check_cases(library, device, count, seed, types):
    """Print what differs; return in how many cases something did."""
    cores = variants(library, device)
    failures = refused = 0
    for number in range(seed, seed + count):
        case = Case(number, types)
        expected, results = case.expected(), []
        try:
            for descending, (_, core) in enumerate(cores):
                if device == "emulated":
                    core.library.kpac_emulate_descending(descending)
                results.append(case.run(core, expected))
        except CoreError as error:
            refused += 1
            print(f"case {number} refused: {error}\n  {case}")
            continue
        found = case.differences(expected, results[0])
        for (name, _), other in zip(cores[1:], results[1:]):
            for key, array in other.items():
                if array.tobytes() != results[0][key].tobytes():
                    found.append(f"{key}: {name} differs from {cores[0][0]}")
        if found:
            failures += 1
            print(f"case {number}: {'; '.join(found)}\n  {case}")
    print(f"{device}: {count} cases from seed {seed}, {failures} differ, {refused} refused")
    return failures + refused

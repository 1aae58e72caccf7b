"""Random small problems for `harness.py`, and their comparison with the reference."""

import ctypes
import random

import harness
import harness_reference as reference
import numpy as np

# Relative to the largest element: inputs are rounded before both compute. float32 sums some hundred
# terms, of which a normalised K cancels some; in float16 and bfloat16 the result is rounded, and so
# is K x before tensor cores take it.
TOLERANCES = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 5e-5, "float64": 1e-10}


def encode(array, type_name):
    """float64 to the storage of a type; bfloat16 as uint16, since NumPy has none."""
    if type_name != "bfloat16":
        return np.ascontiguousarray(array, type_name)
    bits = np.ascontiguousarray(array, "float32").view("uint32")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("uint16")


def decode(array, type_name):
    if type_name != "bfloat16":
        return array.astype("float64")
    return (array.astype("uint32") << 16).view("float32").astype("float64")


def storage(type_name):
    return np.dtype("uint16" if type_name == "bfloat16" else type_name)


def wide(type_name):
    return "float64" if type_name == "float64" else "float32"


class Case:
    """Random sizes, options and inputs: everything that kpac_check lets through."""

    def __init__(self, seed, types):
        r = self.random = random.Random(seed)
        self.values = np.random.default_rng(seed)
        self.type = r.choice(types)
        self.is_sum = r.random() < 0.7

        def channels():
            return r.choice([1, 2, 3, 4, 5, 7, 8, 16, 17, 20, 32, 33, 48, 64, 65, 72])

        filter_kind = r.choice(["pooling", "shared", "full", "full"])
        given = self.is_sum and r.random() < 0.5
        channel_wise = r.random() < 0.4 and (given and filter_kind != "full" or not self.is_sum)
        c = channels()

        def side():
            return r.choice([1, 2, 3, 5, 7, 8, 11, 17, 23])

        def pair(f):
            return (f(), f())

        batch = r.choice([0, 1, 1, 1, 2, 2, 3])
        kernel_size, dilation = (
            pair(lambda: r.choice([1, 3, 3, 5])),
            pair(lambda: r.choice([1, 1, 2, 3])),
        )
        strides, input_dilation = pair(lambda: r.choice([1, 1, 2, 3])), (1, 1)
        guide_size = input_size = pair(side)
        padding = pair(lambda: r.randint(-1, 5))
        output = [
            max(0, (n + 2 * p - d * (k - 1) - 1) // s + 1)
            for n, p, d, k, s in zip(input_size, padding, dilation, kernel_size, strides)
        ]
        guide_padding = padding
        if r.random() < 0.3:  # transposed
            strides, input_dilation = (1, 1), pair(lambda: r.choice([1, 2, 3]))
            padding = [(k - 1) * d - r.randint(0, 2) for k, d in zip(kernel_size, dilation)]
            output = [
                max(0, (n - 1) * s + 1 + p) for n, s, p in zip(input_size, input_dilation, padding)
            ]
            guide_size, guide_padding = (
                output,
                [d * (k // 2) for k, d in zip(kernel_size, dilation)],
            )
        if r.random() < 0.15:  # whatever else the interface allows
            output, guide_size, guide_padding = (
                pair(side),
                pair(side),
                pair(lambda: r.randint(-3, 4)),
            )
        self.s = harness.sizes(
            batch=batch,
            input_size=input_size,
            guide_size=guide_size,
            output_size=output,
            input_channels=c,
            output_channels=channels() if filter_kind == "full" else c,
            guide_channels=0 if given else channels() if r.random() < 0.3 else r.randint(1, 6),
            kernel_size=kernel_size,
            strides=strides,
            input_dilation=input_dilation,
            dilation=dilation,
            padding=padding,
            guide_padding=guide_padding,
            type=self.type,
            kind=r.choice(harness.KINDS),
            filter=filter_kind,
            asymmetric=int(r.random() < 0.3),
            channel_wise=int(channel_wise),
            normalize=int(not self.is_sum and r.random() < 0.4),
        )
        self.fill(given)

    def fill(self, given):
        s, r = self.s, self.random
        taps = s.kernel_size[0] * s.kernel_size[1]
        pixels = (s.batch, *s.output_size)
        shapes = dict.fromkeys((name for name, _ in harness.Inputs._fields_))
        if self.is_sum:
            shapes["x"] = (s.batch, *s.input_size, s.input_channels)
            if s.filter:
                full = (taps, s.input_channels, s.output_channels)
                shapes["kernel"] = full if s.filter == 2 else (taps,)
            if r.random() < 0.5:
                shapes["bias"] = (s.output_channels,)
        values = 1
        if s.channel_wise:
            values = s.input_channels if self.is_sum else s.guide_channels
        if given:
            shapes["adapting_kernel"] = (*pixels, taps, values)
        else:
            shapes["guide"] = (s.batch, *s.guide_size, s.guide_channels)
            if r.random() < 0.4:
                shapes["center"] = shapes["guide"]
            if s.kind:
                shapes["alpha"] = shapes["exponent"] = (values,)
        if not self.is_sum and r.random() < 0.4:
            shapes["valid_mask"] = (s.batch, *s.input_size)
        self.k_shape, self.y_shape = (*pixels, taps, values), (*pixels, s.output_channels)
        self.stored, self.inputs = {}, {}
        for name, shape in shapes.items():
            self.stored[name] = self.inputs[name] = None
            if shape is None:
                continue
            type_name = wide(self.type) if name in ("alpha", "exponent") else self.type
            array = self.values.standard_normal(shape)
            if name in ("guide", "center"):
                array *= 1.5 / max(1, s.guide_channels) ** 0.5
            elif name == "valid_mask":
                array = (array > r.choice([-1, 0, 1, 9])).astype(float)
            elif name in ("alpha", "exponent"):
                array = 0.4 * array + (0.8 if name == "alpha" else -0.3)
            self.stored[name] = encode(array, type_name)
            self.inputs[name] = decode(self.stored[name], type_name)
        upstream = self.values.standard_normal(self.y_shape if self.is_sum else self.k_shape)
        self.upstream = encode(upstream, self.type)
        names = [n for n, _ in harness.Gradients._fields_ if self.stored[n] is not None]
        if r.random() < 0.5:
            self.wanted = names
        else:
            self.wanted = [n for n in names if r.random() < 0.6]

    def __str__(self):
        s = self.s
        fields = {n: getattr(s, n) for n, _ in s._fields_}
        fields = {n: tuple(v) if isinstance(v, ctypes.Array) else v for n, v in fields.items()}
        there = [n for n, v in self.stored.items() if v is not None]
        return f"{self.type} {fields} inputs {there} wanted {self.wanted}"

    def expected(self):
        """{name: float64 array} of everything that `run` returns."""
        upstream = decode(self.upstream, self.type)
        if self.is_sum:
            results = {"y": reference.windowed_sum(self.s, self.inputs)}
            gradients = reference.windowed_sum_gradient(self.s, self.inputs, upstream)
        else:
            kernel, mask = reference.adapting_kernel(self.s, self.inputs)
            results = {"K": kernel} if mask is None else {"K": kernel, "output_mask": mask}
            gradients = reference.adapting_kernel_gradient(self.s, self.inputs, upstream)
        results.update({"d" + n: gradients[n] for n in self.wanted})
        return results

    def run(self, core):
        """The same by the core, in the types of storage."""
        arrays = harness.device_arrays() if core.device == "cuda" else None
        put = arrays.put if arrays else lambda array: array
        results = {}

        def result(name, shape, type_name):
            empty = np.frombuffer(
                b"\xff" * (int(np.prod(shape)) * storage(type_name).itemsize), storage(type_name)
            ).reshape(shape)
            results[name] = (put(empty.copy()), shape, storage(type_name))
            return results[name][0]

        inputs = {n: None if a is None else put(a) for n, a in self.stored.items()}
        if self.is_sum:
            core.windowed_sum(self.s, inputs, result("y", self.y_shape, self.type))
        else:
            mask = None
            if inputs["valid_mask"] is not None:
                mask = result("output_mask", self.y_shape[:3], self.type)
            core.adapting_kernel(self.s, inputs, result("K", self.k_shape, self.type), mask)
        gradients = {}
        for name in self.wanted:
            type_name = wide(self.type) if name in ("alpha", "exponent") else self.type
            gradients[name] = result("d" + name, self.stored[name].shape, type_name)
        function = core.windowed_sum_gradient if self.is_sum else core.adapting_kernel_gradient
        function(self.s, inputs, put(self.upstream), gradients)
        if not arrays:
            return {name: array for name, (array, *_) in results.items()}
        return {n: arrays.get(a).view(t).reshape(shape) for n, (a, shape, t) in results.items()}

    def differences(self, results):
        """[text] for every result that is too far from the reference."""
        found = []
        for name, expected in self.expected().items():
            in_wide = name in ("dalpha", "dexponent")
            type_name = wide(self.type) if in_wide else self.type
            received = decode(results[name], type_name)
            if type_name == "float16":  # beyond its range both are as good as infinite
                expected, received = (np.clip(v, -6e4, 6e4) for v in (expected, received))
            if expected.size == 0:
                continue
            # dalpha and dexponent are sums over all pixels of terms of both signs, which cancel.
            tolerance = TOLERANCES[self.type] * (20 if in_wide else 1)
            error = np.max(np.abs(received - expected)) / max(np.max(np.abs(expected)), 1e-2)
            if not error <= tolerance:
                found.append(f"{name}: {error:.2e} > {tolerance:.0e}")
        return found


def variants(library, device):
    """[(name, cores)] whose results must be bitwise equal."""
    if device == "cpu":
        return [(f"{n} threads", harness.Core(library, device, n)) for n in (1, 2, 4)]
    core = harness.Core(library, device)
    return [("a first run", core), ("a second run", core)]


def check_cases(library, device, count, seed, types):
    """Print what differs; return in how many cases something did."""
    cores = variants(library, device)
    failures = refused = 0
    for number in range(count):
        case = Case(seed + number, types)
        try:
            results = []
            for k, (_, core) in enumerate(cores):
                if device == "emulated":
                    core.library.kpac_emulate_descending(k)
                results.append(case.run(core))
        except harness.CoreError as error:
            refused += 1
            print(f"case {seed + number} refused: {error}\n  {case}")
            continue
        found = case.differences(results[0])
        for (name, _), other in zip(cores[1:], results[1:]):
            for key, array in other.items():
                if array.tobytes() != results[0][key].tobytes():
                    found.append(f"{key}: {name} differs from {cores[0][0]}")
        if found:
            failures += 1
            print(f"case {seed + number}: {'; '.join(found)}\n  {case}")
    print(f"{device}: {count} cases from seed {seed}, {failures} differ, {refused} refused")
    return failures + refused

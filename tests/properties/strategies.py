"""Valid calls of the operations: geometries, options, and the arrays that a seed gives."""

import numpy as np
from hypothesis import strategies as st

from tests.support.cases import make_case
from tests.support.oracle import pair, run_oracle

ODD = st.sampled_from([3, 1, 5])
FEW = st.integers(1, 3)
SEEDS = st.integers(0, 999)


def one_or_two(values):
    """One value for rows and columns, or one for each."""
    return st.one_of(values, st.tuples(values, values))


def reach_of(geometry):
    """The distance from the first to the last tap of a window, (rows, columns)."""
    sizes = pair(geometry["kernel_size"]), pair(geometry["dilation_rate"])
    return tuple((k - 1) * d for k, d in zip(*sizes))


@st.composite
def paddings(draw, reach):
    """A padding in each of its forms; some windows may lie wholly outside the image."""
    rows, columns = (st.integers(0, r // 2 + 1) for r in reach)
    both = st.integers(0, min(reach) // 2 + 1)
    sides = st.tuples(st.tuples(rows, rows), st.tuples(columns, columns))
    named = st.sampled_from(["same", "valid"])
    return draw(st.one_of(named, named, both, st.tuples(rows, columns), sides))


@st.composite
def geometries(draw, operation):
    """The window of an operation, as arguments of `make_case`."""
    geometry = {
        "kernel_size": draw(st.tuples(ODD, ODD)),
        "strides": draw(one_or_two(FEW)),
        "dilation_rate": draw(one_or_two(st.integers(1, 2))),
    }
    geometry["padding"] = draw(paddings(reach_of(geometry)))
    if operation == "transposed":
        each = [st.integers(0, s - 1) for s in pair(geometry["strides"])]
        geometry["output_padding"] = draw(st.one_of(st.none(), st.just(0), st.tuples(*each)))
    return geometry


def smallest_size(operation, geometry):
    """The smallest input with an output, (rows, columns)."""
    reach, padding = reach_of(geometry), geometry["padding"]
    if padding == "same":
        return 1, 1
    if padding == "valid":
        return (1, 1) if operation == "transposed" else tuple(r + 1 for r in reach)
    total = [sum(pair(p)) for p in pair(padding)]
    if operation == "transposed":
        # The full output, (n - 1) * strides + reach + 1, must be longer than what is cropped.
        axes = zip(reach, pair(geometry["strides"]), total)
        return tuple(max(1, 1 - (r - t) // s) for r, s, t in axes)
    return tuple(max(1, r + 1 - t) for r, t in zip(reach, total))


def border_of(operation, geometry, smoothing=None):
    """How many outputs at the start of each axis may see something outside the image."""
    radius = (smoothing or 1) // 2
    if operation == "transposed":
        return tuple(r + radius for r in reach_of(geometry))
    # No padding of `paddings` is larger than the reach plus one.
    return tuple(
        -(-(r + 1 + radius) // s) for r, s in zip(reach_of(geometry), pair(geometry["strides"]))
    )


@st.composite
def sizes(draw, operation, geometry):
    """An input size that the window fits into, for up to three outputs more than the least."""
    steps = (1, 1) if operation == "transposed" else pair(geometry["strides"])
    least = smallest_size(operation, geometry)
    return tuple(draw(st.integers(n, n + 3 * s)) for n, s in zip(least, steps))


def roomy_size(operation, geometry, smoothing):
    """An input size with at least one output that sees the border on no side before it."""
    border, strides = border_of(operation, geometry, smoothing), pair(geometry["strides"])
    if operation == "transposed":
        # The output is longer than (n - 1) * strides - 2, whatever `paddings` crops.
        return tuple(-(-(b + 2) // s) + 1 for b, s in zip(border, strides))
    return tuple(r + 1 + s * b for r, s, b in zip(reach_of(geometry), strides, border))


@st.composite
def calls(draw, operation, roomy=False, **fixed):
    """One valid call of an operation, as the arguments of `case_of`; `fixed` is not drawn."""
    geometry = draw(geometries(operation))
    call = {"operation": operation, **geometry}
    options = {
        "batch": st.integers(1, 2),
        "channels": FEW,
        "filters": FEW,
        "guide_channels": FEW,
        "kind": st.sampled_from(["gaussian", "inverse"]),
        "asymmetric": st.booleans(),
        "channel_wise": st.booleans() if operation == "pool" else st.just(False),
        "normalize": st.booleans(),
        "shared": st.booleans() if operation != "pool" else st.just(False),
        "bias": st.booleans(),
        "smoothing": st.sampled_from([None, 3, 1, 5]),
        "masked": st.booleans(),
        "coarse": st.booleans(),
        "seed": SEEDS,
    }
    call.update({name: draw(option) for name, option in options.items() if name not in fixed})
    call.update(fixed)
    if roomy:
        call["size"] = roomy_size(operation, geometry, call["smoothing"])
    else:
        call["size"] = draw(sizes(operation, geometry))
    return call


def case_of(call):
    """The arrays of a call, and what the oracle makes of them.

    `coarse` makes many features and pixels equal, and some masked pixels count in part.
    """
    call = dict(call)
    rng, coarse = np.random.default_rng(call.pop("seed")), call.pop("coarse")
    case = make_case(rng, **call)
    arrays = case.arrays
    if coarse:
        for name in {"x", "guide"} & set(arrays):
            arrays[name] = np.round(arrays[name])
        if "valid_mask" in arrays:
            arrays["valid_mask"] *= rng.choice([0.5, 1.0], arrays["valid_mask"].shape)
    if "guide" in arrays:
        # Distances of order one: the relative error of exp(-d) is that of d times d.
        arrays["guide"] *= 0.5
    case.y, case.adapting_kernel, case.output_mask = run_oracle(case, arrays)
    return case

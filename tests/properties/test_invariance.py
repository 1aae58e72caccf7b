"""What a change of the inputs changes: shifts, swapped axes, orders of channels, single images."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from keras_pac import ops
from tests.properties.runs import check, each_implementation, each_operation, examples, run
from tests.properties.strategies import FEW, SEEDS, border_of, calls, case_of
from tests.support.cases import IMAGES
from tests.support.oracle import pair
from tests.support.tolerances import assert_close

SHIFTS = st.sampled_from([(1, 0), (0, 1), (1, 2)])


def with_arrays(case, **arrays):
    """The case with some arrays replaced."""
    return dataclasses.replace(case, arrays={**case.arrays, **arrays})


def assert_same(actual, expected):
    """Compare two results (y, K, output mask)."""
    for what, one, other in zip(("y", "adapting kernel", "output mask"), actual, expected):
        assert (one is None) == (other is None), what
        if one is not None:
            assert_close(one, other, "float64", what)


def map_images(function, images):
    """Apply a function to those of some images that are there."""
    return [None if image is None else function(np.asarray(image)) for image in images]


@each_implementation
@each_operation
@examples(few=20, many=60)
def test_a_shift_of_the_input_shifts_the_output(name, operation, count):
    """Away from the border, the results of a cropped image are those of the image, cropped."""

    @check(count, calls(operation, roomy=True), SHIFTS)
    def _(call, shift):
        strides = pair(call["strides"])
        of_x, of_y = shift, tuple(a * s for a, s in zip(shift, strides))
        if operation != "transposed":
            of_x, of_y = of_y, of_x
        case = case_of({**call, "size": tuple(n + a for n, a in zip(call["size"], of_x))})
        of_guide = of_y if operation == "transposed" else of_x
        cuts = {"x": of_x, "guide": of_guide, "valid_mask": of_x}
        cropped = {
            key: array[:, cuts[key][0] :, cuts[key][1] :]
            for key, array in case.arrays.items()
            if key in cuts
        }
        rows, columns = border_of(operation, call, call["smoothing"])
        whole = run(name, case)
        expected = map_images(lambda a: a[:, of_y[0] + rows :, of_y[1] + columns :], whole)
        actual = run(name, with_arrays(case, **cropped))
        actual = map_images(lambda a: a[:, rows:, columns:], actual)
        assert actual[0].size, "the border takes the whole output"
        assert_same(actual, expected)


def swapped(value):
    """A pair, or pair of pairs, with the columns first; a single value serves both."""
    return value[::-1] if isinstance(value, tuple) else value


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_swapped_rows_and_columns_swap_those_of_the_output(name, operation, count):
    @check(count, calls(operation))
    def _(call):
        case = case_of(call)
        swap = {key: (0, 2, 1, 3) for key in IMAGES}
        swap |= {"kernel": (1, 0, 2, 3), "smoothing": (1, 0)}
        other = dataclasses.replace(
            case,
            kernel_size=swapped(case.kernel_size),
            geometry={key: swapped(value) for key, value in case.geometry.items()},
            arrays={
                key: array.transpose(swap[key]) if key in swap else array
                for key, array in case.arrays.items()
            },
        )
        y, adapting, output_mask = map_images(lambda a: a.swapaxes(1, 2), run(name, case))
        rows, columns = case.kernel_size
        taps = np.arange(rows * columns).reshape(rows, columns).T.reshape(-1)
        assert_same(run(name, other), (y, adapting[:, :, :, taps], output_mask))


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_a_permutation_of_channels_carries_through(name, operation, count):
    orders = st.permutations(range(3))
    fixed = {"channels": 3, "filters": 3, "guide_channels": 3}

    @check(count, calls(operation, **fixed), orders, orders, orders)
    def _(call, of_x, of_filters, of_guide):
        case = case_of(call)
        arrays, each_by_itself = case.arrays, operation == "pool" or call["shared"]
        if each_by_itself:
            of_filters = of_x
        if call["channel_wise"]:
            of_guide = of_x
        changed = {"x": arrays["x"][..., of_x], "guide": arrays["guide"][..., of_guide]}
        if not each_by_itself:
            ends = (of_filters, of_x) if operation == "transposed" else (of_x, of_filters)
            changed["kernel"] = arrays["kernel"][:, :, ends[0]][..., ends[1]]
        if "bias" in arrays:
            changed["bias"] = arrays["bias"][of_filters]
        if call["channel_wise"] and "alpha" in arrays:
            changed.update({key: arrays[key][of_x] for key in ("alpha", "exponent")})
        y, adapting, output_mask = map_images(np.asarray, run(name, case))
        adapting = adapting[..., of_x] if call["channel_wise"] else adapting
        assert_same(
            run(name, with_arrays(case, **changed)), (y[..., of_filters], adapting, output_mask)
        )


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_a_batch_gives_what_its_images_give(name, operation, count):
    @check(count, calls(operation, batch=3))
    def _(call):
        case = case_of(call)
        whole = run(name, case)
        for i in range(3):
            images = {key: case.arrays[key][i : i + 1] for key in IMAGES if key in case.arrays}
            one = run(name, with_arrays(case, **images))
            assert_same(one, map_images(lambda a, i=i: a[i : i + 1], whole))


@examples(few=30, many=300)
def test_features_of_positions_and_colours_shift_with_the_image(count):
    scales = st.one_of(st.none(), st.sampled_from([0.5, 3.0]))
    sizes = st.tuples(FEW, FEW, FEW, st.integers(1, 4))

    @check(count, sizes, SHIFTS, scales, st.sampled_from([0.5, 3.0]), st.booleans(), SEEDS)
    def _(size, shift, position, color, only_position, seed):
        batch, height, width, channels = size
        shape = (batch, height + shift[0], width + shift[1], channels)
        image = np.random.default_rng(seed).normal(size=shape)
        if only_position:
            position, color = color, None
        features = np.asarray(ops.position_color_features(image, position, color))
        cropped = image[:, shift[0] :, shift[1] :]
        cropped = np.array(ops.position_color_features(cropped, position, color))
        if position is not None:
            cropped[..., :2] += np.array(shift) / position
        assert_close(cropped, features[:, shift[0] :, shift[1] :], "float64")

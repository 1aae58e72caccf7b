"""What is known of an adapting kernel without computing it."""

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

import keras_pac
from keras_pac import ops
from tests.properties.runs import check, each_implementation, each_operation, examples, run
from tests.properties.strategies import SEEDS, calls, case_of
from tests.support.oracle import pair
from tests.support.tolerances import ROUNDED_ZERO, assert_close

# Neither divided by a sum nor compared with anything but the centre itself.
PLAIN = {"normalize": False, "masked": False, "smoothing": None}


def adapting_kernel_of(name, case):
    return np.asarray(run(name, case)[1])


def by_taps_and_channels(case, adapting):
    """K as (B, OH, OW, T, 1 or C)."""
    return adapting if case.options["channel_wise"] else adapting[..., None]


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_the_centre_is_like_itself(name, operation, count):
    """K(f, f) is 1 for the gaussian kernel and alpha + 1e-4^(exponent / 2) for the inverse one."""

    @check(count, calls(operation, **PLAIN))
    def _(call):
        case = case_of(call)
        adapting = by_taps_and_channels(case, adapting_kernel_of(name, case))
        centre = adapting[:, :, :, adapting.shape[3] // 2]
        value = np.ones(())
        if call["kind"] == "inverse":
            value = case.arrays["alpha"] + 1e-4 ** (case.arrays["exponent"] / 2)
        assert_close(centre, np.broadcast_to(value, centre.shape), "float64")
        # No other tap of the gaussian kernel is more like the centre, none of the inverse less.
        closer = adapting.max(axis=3) if call["kind"] == "gaussian" else adapting.min(axis=3)
        assert_close(closer, centre, "float64")


@each_implementation
@examples(few=15, many=45)
def test_a_constant_guide_gives_ones(name, count):
    """K(f, f) = 1 at every tap inside the guide, whatever f."""
    values = st.lists(st.sampled_from([0.0, -2.5, 1.0, 1e3]), min_size=1, max_size=3)

    @check(count, calls("conv", roomy=True, kind="gaussian"), values, SEEDS)
    def _(call, features, seed):
        options = {key: call[key] for key in ("strides", "dilation_rate", "asymmetric")}
        guide = tf.constant(np.broadcast_to(features, (1, *call["size"], len(features))))
        with keras_pac.implementation(name):
            adapting = ops.adapting_kernel(guide, call["kernel_size"], **options)
        assert_close(adapting, np.ones(adapting.shape), "float64")


@each_implementation
@examples(few=15, many=45)
def test_only_differences_of_features_count(name, count):
    """Inside the guide, K of f + c is K of f."""

    @check(count, calls("pool", roomy=True, **PLAIN), st.sampled_from([1.0, -0.5, 30.0]))
    def _(call, offset):
        case = case_of(call)
        case.geometry["padding"] = "valid"
        expected = adapting_kernel_of(name, case)
        case.arrays["guide"] = case.arrays["guide"] + offset
        assert_close(adapting_kernel_of(name, case), expected, "float64")


@each_implementation
@examples(few=15, many=45)
def test_two_pixels_are_alike_in_both_directions(name, count):
    """K(f_i, f_j) = K(f_j, f_i), unless the kernel is asymmetric."""

    @check(count, calls("pool", asymmetric=False, **PLAIN))
    def _(call):
        case = case_of(call)
        case.geometry.update(strides=1, padding="same")
        adapting = adapting_kernel_of(name, case)
        height, width = adapting.shape[1:3]
        (rows, columns), (down, right) = case.kernel_size, pair(call["dilation_rate"])
        for tap in range(rows * columns // 2):
            y = (tap // columns - rows // 2) * down
            x = (tap % columns - columns // 2) * right
            # Pixels i for which i + (y, x) lies inside, and these neighbours.
            here, there = (
                np.s_[:, max(-a, 0) : max(height - a, 0), max(-b, 0) : max(width - b, 0)]
                for a, b in ((y, x), (-y, -x))
            )
            opposite = adapting[:, :, :, rows * columns - 1 - tap]
            assert_close(adapting[:, :, :, tap][here], opposite[there], "float64", f"tap {tap}")


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_larger_and_smaller_features_make_the_symmetric_kernel(name, operation, count):
    """max(d, 0)^2 + max(-d, 0)^2 = d^2, so two asymmetric gaussian kernels multiply to it."""
    fixed = {"kind": "gaussian", "normalize": False, "masked": False, "asymmetric": False}

    @check(count, calls(operation, **fixed))
    def _(call):
        case = case_of(call)
        symmetric = adapting_kernel_of(name, case)
        case.options["asymmetric"] = True
        larger = adapting_kernel_of(name, case)
        case.arrays["guide"] = -case.arrays["guide"]
        assert_close(larger * adapting_kernel_of(name, case), symmetric, "float64")


def met_pixels(name, case):
    """How many valid pixels each window meets (B, OH, OW), some counted in part."""
    mask = case.arrays.get("valid_mask", np.ones((*case.arrays["x"].shape[:3], 1)))
    mask, ones = tf.constant(mask), tf.ones(case.adapting_kernel.shape[:4], "float64")
    with keras_pac.implementation(name):
        if case.operation == "transposed":
            kernel = tf.ones((*case.kernel_size, 1, 1), "float64")
            return ops.pac_conv2d_transpose(mask, ones, kernel, **case.geometry).numpy()[..., 0]
        return ops.pac_pool2d(mask, ones, case.kernel_size, **case.geometry).numpy()[..., 0]


@each_implementation
@each_operation
@examples(few=25, many=70)
def test_normalised_kernels_sum_to_one(name, operation, count):
    """Where a window meets a valid pixel, over the taps that do; elsewhere they are zero."""

    @check(count, calls(operation, normalize=True))
    def _(call):
        case = case_of(call)
        y, adapting, output_mask = run(name, case)
        sums = by_taps_and_channels(case, np.asarray(adapting)).sum(axis=3)
        met = (met_pixels(name, case) > 0)[..., None]
        assert_close(sums, np.broadcast_to(met, sums.shape), "float64", "sum of K")
        assert np.all(np.asarray(adapting) >= 0)
        if output_mask is not None:
            np.testing.assert_array_equal(output_mask, met)


@each_implementation
@examples(few=25, many=70)
def test_normalised_pooling_stays_between_the_extremes(name, count):
    """It is an average of the valid pixels in the window, whatever the others hold."""

    @check(count, calls("pool", normalize=True))
    def _(call):
        case = case_of(call)
        x = case.arrays["x"]
        valid = np.broadcast_to(case.arrays.get("valid_mask", np.ones(())) > 0, x.shape)
        x[~valid] = 1e6
        y = np.asarray(run(name, case)[0])
        met = np.broadcast_to((met_pixels(name, case) > 0)[..., None], y.shape)
        assert np.all(y[~met] == 0)
        if np.any(met):
            assert y[met].min() >= x[valid].min() - ROUNDED_ZERO
            assert y[met].max() <= x[valid].max() + ROUNDED_ZERO


@each_implementation
@each_operation
@examples(few=15, many=45)
def test_masked_kernels_make_up_for_the_pixels_that_do_not_count(name, operation, count):
    """Divided by the valid share of the window, K = 1 sums to the window's pixels in the image."""

    @check(count, calls(operation, normalize=False, masked=True, smoothing=None))
    def _(call):
        case = case_of({**call, "kind": "inverse"})
        # alpha + (d^2 + 1e-4)^0 = 1
        case.arrays["alpha"] = 0 * case.arrays["alpha"]
        case.arrays["exponent"] = 0 * case.arrays["exponent"]
        _, adapting, output_mask = run(name, case)
        sums = by_taps_and_channels(case, np.asarray(adapting)).sum(axis=3)
        met = met_pixels(name, case)[..., None]
        case.arrays.pop("valid_mask")
        inside = met_pixels(name, case)[..., None]
        expected = np.where(met > 0, inside, 0)
        assert_close(sums, np.broadcast_to(expected, sums.shape), "float64")
        np.testing.assert_array_equal(output_mask, met > 0)

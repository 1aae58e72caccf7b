"""Golden cases, layers and a training step on the backend that KERAS_BACKEND names.

`test_backends.py` runs this in a process of its own. Prints one line a check; stops at the first
failure.
"""

import json
import sys

import keras
import numpy as np

import keras_pac
from keras_pac import visualize
from keras_pac.layers import PixelAdaptiveRefinement
from keras_pac.models import JointBilateralUpsample, swap_conv2d, with_pac_crf
from tests.support.cases import load_golden
from tests.support.crf_cases import GOLDEN_CRFS, golden_crf
from tests.support.paths import GOLDEN as GOLDEN_FILES
from tests.support.runners import golden_layer, run_ops
from tests.support.tolerances import assert_close

GOLDEN = [
    "conv_inv_asym_norm_avg5",
    "conv_mask_normalized",
    "conv_precomputed_kernel",
    "conv_shared_filters",
    "conv_smooth_full3",
    "conv_stride2_dilation2",
    "convt_inv",
    "convt_mask",
    "convt_normalized",
    "pool_channel_wise_inv",
]
# Only a few, since JAX compiles every operation of every case anew.
CRF = ("crf_2d_spatial", "crf_4d_dilated", "crf_blur4_odd", "crf_loose_two", "crf_potts_nospatial")
LAYERS = [
    "conv_inv_asym_norm_avg5",
    "conv_precomputed_kernel",
    "convt_mask",
    "pool_channel_wise_inv",
]


def jax_gradients(function, arrays):
    """(value, results), as `function` of named arrays returns it, and gradients by JAX."""
    import jax

    # Compiled as one: JAX compiles what runs eagerly too, operation by operation.
    return jax.jit(jax.value_and_grad(function, has_aux=True))(arrays)


def torch_gradients(function, arrays):
    """(value, results), as `function` of named arrays returns it, and gradients by PyTorch."""
    import torch

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    value, results = function(tensors)
    gradients = torch.autograd.grad(value, list(tensors.values()))
    return (value, results), dict(zip(tensors, gradients, strict=True))


def check_golden(name, gradients_of):
    """Values and gradients of one golden file through the ops, in float64."""
    case = load_golden(name)
    given = {key: case.arrays[key].copy() for key in case.gradients}
    fixed = {key: array for key, array in case.arrays.items() if key not in given}

    def loss(tensors):
        y, _, output_mask = run_ops(case, {**fixed, **tensors})
        return keras.ops.sum(y * keras.ops.convert_to_tensor(case.grad_y)), (y, output_mask)

    (_, (y, output_mask)), gradients = gradients_of(loss, given)
    assert_close(keras.ops.convert_to_numpy(y), case.y, "float64", "y")
    if case.output_mask is not None:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output_mask), case.output_mask)
    for key, expected in case.gradients.items():
        actual = keras.ops.convert_to_numpy(gradients[key])
        assert_close(actual, expected, "float64", f"gradient of {key}")
    print("golden", name)


def check_layer(name):
    """One golden file through its layer, in float32."""
    case = load_golden(name)
    layer = golden_layer(name, "float32")
    arrays = {key: array.astype("float32") for key, array in case.arrays.items()}
    calls = {key: arrays[key] for key in ("adapting_kernel", "valid_mask") if key in arrays}
    y = layer([arrays[key] for key in ("x", "guide") if key in arrays], **calls)
    if case.output_mask is not None:
        y, output_mask = y
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output_mask), case.output_mask)
    assert_close(keras.ops.convert_to_numpy(y), case.y, "float32", "y")
    print("layer", name)


def check_crf(path):
    """One golden file through the CRF layer, in float64."""
    layer, inputs, _, _, arrays = golden_crf(path, "float64")
    assert_close(keras.ops.convert_to_numpy(layer(inputs())), arrays["y"], "float64", "y")
    print("crf", path.stem)


def check_refinement(path):
    """One golden file of PAMR, in float64."""
    arrays = np.load(path)
    config = json.loads(str(arrays["config"]))
    layer = PixelAdaptiveRefinement(
        config["dilations"], config["iterations"], "channels_first", dtype="float64"
    )
    # Keras would convert arrays to float32 first.
    y = layer([keras.ops.convert_to_tensor(arrays[name], "float64") for name in ("mask", "image")])
    assert_close(keras.ops.convert_to_numpy(y), arrays["y"], "float64", "y")
    print("refinement", path.stem)


def check_fit_crf():
    """A few steps of training move every weight of a swapped layer and a CRF behind it."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            keras.layers.Conv2D(4, 3, padding="same", name="early"),
            keras.layers.Conv2D(5, 3, strides=2, padding="same", name="score"),
        ]
    )
    swapped = swap_conv2d(network, ["score"], guide="early", scale=1.0)
    kernels = [
        {"kernel_size": 3, "compatibility": "4d", "dilation_rate": 2},
        {"kernel_size": 3, "compatibility": "2d", "blur": 2},
    ]
    model = with_pac_crf(swapped, kernels, color_scale=0.5, position_scale=4.0, steps=2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    before = model.get_weights()
    model.fit(rng.random((2, 8, 6, 3), "float32"), rng.integers(0, 5, (2, 8, 6)), verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path
    print("fit of a CRF")


def check_fit():
    """A few steps of training lower the loss."""
    keras.utils.set_random_seed(0)
    inverse = {"kernel_type": "inverse", "alpha": 0.1, "exponent": 0.5}
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras_pac.PacConv2D(4, 3, padding="same", guide_filters=2, smoothing=("learned", 3)),
            keras_pac.PacPool2D(3, strides=2, padding="same", normalize_kernel=True, **inverse),
            keras_pac.PacConv2DTranspose(1, 3, strides=2, padding="same"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
    before = model.get_weights()
    losses = model.fit(x, x.sum(-1, keepdims=True), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0], losses
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path
    print("fit", losses[0], losses[-1])


def check_float64():
    """A filter in float64 keeps it, though Keras's own types would narrow it on this backend."""
    model = JointBilateralUpsample(2, 5, 0.5, 4.0, dtype="float64")
    rng = np.random.default_rng(0)
    low, guide = (rng.random((1, size, size, n)) for size, n in ((3, 1), (6, 3)))
    y = keras.ops.convert_to_numpy(model([low, guide]))
    expected = np.zeros((6, 6))
    for here in np.ndindex(6, 6):
        weights = np.zeros((6, 6))
        for there in np.ndindex(6, 6):
            apart = np.subtract(there, here)
            if np.abs(apart).max() > 2 or any(place % 2 for place in there):
                continue
            colors = guide[0][there] - guide[0][here]
            square = (0.5 * apart) @ (0.5 * apart) + (4.0 * colors) @ (4.0 * colors)
            weights[there] = np.exp(-square / 2)
        expected[here] = (weights[::2, ::2] * low[0, :, :, 0]).sum() / weights.sum()
    assert_close(y[0, :, :, 0], expected, "float64", "joint bilateral")
    print("float64")


def upsampled():
    """What `keras_pac.upsample` makes of random arrays."""
    rng = np.random.default_rng(0)
    return keras_pac.upsample(rng.random((10, 12, 2)), rng.random((39, 48, 3)), "center")


def check_upsample(path):
    """As on TensorFlow, whose result is in the file at `path`."""
    assert_close(upsampled(), np.load(path), "float32", "upsample")
    print("upsample")


def check_figures():
    """The figures that call layers; `tests/visualize` checks their numbers on TensorFlow."""
    rng = np.random.default_rng(0)
    x, guide = rng.random((1, 8, 9, 2)), rng.random((1, 8, 9, 3))
    figure = visualize.kernels(keras_pac.PacConv2D(2, 3, padding="same"), [x, guide], [(4, 5)])
    differences = guide[0, 3:6, 4:7] - guide[0, 4, 5]
    expected = np.exp(-0.5 * (differences**2).sum(-1))
    assert_close(figure.axes[1].images[0].get_array(), expected, "float32", "K in a figure")
    visualize.messages(keras_pac.PacCRF({"kernel_size": 3}), [x, guide])
    print("figures")


def check_unavailable():
    """`patches` needs TensorFlow and says so."""
    assert "TensorFlow" in keras_pac.not_supported_reasons("patches")[0]
    try:
        keras_pac.set_implementation("patches")
    except ValueError as error:
        assert "TensorFlow" in str(error)
        print("patches refused")
    else:
        raise AssertionError("patches was accepted")


def main():
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    gradients_of = {"jax": jax_gradients, "torch": torch_gradients}[backend]
    for name in GOLDEN:
        check_golden(name, gradients_of)
    for name in LAYERS:
        check_layer(name)
    check_refinement(GOLDEN_FILES / "refinement" / "pamr_a.npz")
    for path in GOLDEN_CRFS:
        if path.stem in CRF:
            check_crf(path)
    check_float64()
    check_unavailable()
    # Up to here: `fit` of Keras imports TensorFlow by itself.
    assert "tensorflow" not in sys.modules, "TensorFlow was imported"
    check_fit()
    check_fit_crf()
    check_upsample(sys.argv[1])
    check_figures()
    print("all checks passed on", backend)


if __name__ == "__main__":
    main()

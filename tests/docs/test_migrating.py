"""What docs/migrating.md says of the old side: its translations read the reference files.

Blocks of the page that need PyTorch are ```py. One that sets the backend runs in its own process.
"""

import importlib.util
import json

import numpy as np
import pytest

import keras_pac
from tests.support.cases import GOLDEN_NAMES, load_golden
from tests.support.crf_cases import GOLDEN_CRFS
from tests.support.pages import run_blocks
from tests.support.paths import GOLDEN, REFERENCE_MODELS, ROOT
from tests.support.processes import output_of
from tests.support.tolerances import assert_close

PAGE = "docs/migrating.md"
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What the page defines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        return run_blocks(PAGE)


@needs_torch
def test_blocks_with_pytorch_run_among_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = []

    def wanted(language, code):
        if language == "py" and code.startswith("import os"):
            alone.append(code)
            return False
        return language in ("python", "py")

    assert "torch" in run_blocks(PAGE, wanted)
    (program,) = alone
    output_of(program)


def old_arguments(config, page):
    """The arguments of a layer, from the old ones, as the tables of the page say."""
    arguments = {
        "kernel_size": config["kernel_size"],
        "strides": config["stride"],
        "padding": config["padding"],
        "dilation_rate": config["dilation"],
        "normalize_kernel": config["normalize_kernel"],
        "smoothing": page["smoothing"](config["smooth_kernel_type"]),
        **page["kernel_arguments"](config["kernel_type"]),
    }
    if config["op"] == "pac_pool2d":
        return {**arguments, "channel_wise": config["channel_wise"]}
    arguments |= {"use_bias": config["bias"], "shared_filters": config["shared_filters"]}
    if "output_padding" in config:
        arguments["output_padding"] = config["output_padding"]
    return {"filters": config["out_channels"], **arguments}


LAYERS = {
    "pac_conv2d": (keras_pac.PacConv2D, "pac_conv2d_filter"),
    "pac_conv2d_transpose": (keras_pac.PacConv2DTranspose, "pac_conv_transpose2d_filter"),
    "pac_pool2d": (keras_pac.PacPool2D, None),
}


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_the_tables_translate_the_reference_layers(name, page):
    arrays = dict(np.load(GOLDEN / f"{name}.npz"))
    config = json.loads(str(arrays["config"]))
    kind, to_filter = LAYERS[config["op"]]
    arguments = old_arguments(config, page)
    layer = kind(dtype="float64", **arguments)
    x, guide = (page["channels_last"](arrays[key]) for key in ("x", "guide"))
    layer.build([x.shape, guide.shape])
    weights = {
        "kernel": page[to_filter](arrays["weight"]) if to_filter else None,
        "bias": arrays.get("bias"),
        # Those that are not trained are not in the file.
        "alpha": arrays.get("inv_alpha", arguments.get("alpha")),
        "exponent": arrays.get("inv_lambda", arguments.get("exponent")),
        "smoothing": arrays["smooth_kernel"][0, 0] if "smooth_kernel" in arrays else None,
    }
    for weight in layer.weights:
        weight.assign(weights[weight.name])
    if "kernel_in" in arrays:
        y = layer(x, adapting_kernel=page["taps_last"](arrays["kernel_in"]))
    elif "mask" in arrays:
        y, seen = layer([x, guide], valid_mask=page["channels_last"](arrays["mask"]))
        seen_before = page["channels_last"](arrays["output_mask"][:, 0, 0])
        np.testing.assert_array_equal(seen, seen_before)
    else:
        y = layer([x, guide])
    assert_close(y, page["channels_last"](arrays["y"]), "float64")


@pytest.mark.parametrize("path", GOLDEN_CRFS, ids=lambda path: path.stem)
def test_the_tables_translate_the_reference_crfs(path, page):
    arrays = dict(np.load(path))
    config = json.loads(str(arrays["config"]))
    kernels = [page["pairwise_kernel"](kernel) for kernel in config["pairwise_kernels"]]
    layer = (keras_pac.PacCRFLoose if "loose" in config["op"] else keras_pac.PacCRF)(
        kernels,
        steps=config["num_steps"],
        output={"log_Q": "logits"}.get(config["final_output"], config["final_output"]),
        unary_weight=config["unary_weight"],
        fixed_weighting=config["fixed_weighting"],
        dtype="float64",
    )
    unary, features = (page["channels_last"](arrays[key]) for key in ("unary", "features"))
    inputs = [unary, features]
    if not config["shared_features"]:
        scales = zip(config["feature_scale_per_kernel"], kernels, strict=True)
        inputs = [unary, *(features * scale for scale, kernel in scales if kernel.takes_features)]
    layer(inputs)
    layer.set_weights(page["crf_weights"](layer, arrays))
    assert_close(layer(inputs), page["channels_last"](arrays["y"]), "float64")


def test_the_page_counts_the_reference_files():
    text = " ".join((ROOT / PAGE).read_text().split())
    models = len(list(REFERENCE_MODELS.glob("*.npz")))
    for count, what in (
        (len(GOLDEN_NAMES), "calls"),
        (len(GOLDEN_CRFS), "CRFs"),
        (models, "networks"),
    ):
        assert f"{count} {what}" in text


def test_masks_keep_their_layout_with_channels_first(page):
    case = load_golden("conv_mask")
    arrays = dict(np.load(GOLDEN / "conv_mask.npz"))
    config = json.loads(str(arrays["config"]))
    layer = keras_pac.PacConv2D(
        **old_arguments(config, page), data_format="channels_first", dtype="float64"
    )
    layer.build([arrays["x"].shape, arrays["guide"].shape])
    layer.set_weights([case.arrays["kernel"], case.arrays["bias"]])
    y, _ = layer([arrays["x"], arrays["guide"]], valid_mask=arrays["mask"])
    assert_close(y, arrays["y"], "float64")

"""The reference cases of the CRF layers, on whatever backend Keras has."""

import json

import keras
import numpy as np

from keras_pac import PacCRF, PacCRFLoose, PairwiseKernel
from tests.support.paths import GOLDEN

GOLDEN_CRFS = sorted((GOLDEN / "crf").glob("*.npz"))


def golden_crf(path, dtype):
    """(layer with the weights of the file, inputs, {name in the file: (weight, conversion)})."""
    arrays = dict(np.load(path))
    config = json.loads(str(arrays.pop("config")))
    kernels = [
        PairwiseKernel(
            kernel["kernel_size"],
            kernel["compat_type"].replace("na", "none"),
            kernel["dilation"],
            kernel["blur"],
            kernel["spatial_filter"],
            kernel["pairwise_weight"],
        )
        for kernel in config["pairwise_kernels"]
    ]
    loose = config["op"] == "pac_crf_loose"
    layer = (PacCRFLoose if loose else PacCRF)(
        kernels,
        steps=config["num_steps"],
        output=config["final_output"].replace("log_Q", "logits"),
        unary_weight=config["unary_weight"],
        fixed_weighting=config["fixed_weighting"],
        data_format="channels_first",
        dtype=dtype,
    )
    unary, features = (
        keras.ops.convert_to_tensor(arrays[name], dtype) for name in ("unary", "features")
    )

    def inputs():
        if config["shared_features"]:
            return [unary, features]
        scales = zip(config["feature_scale_per_kernel"], kernels)
        return [unary, *(features * scale for scale, k in scales if k.takes_features)]

    layer(inputs())
    conversions = {
        "unary_weight": ("unary_weight", lambda a: a),
        "pairwise_weight": ("pairwise_weights.{}", lambda a: a),
        "filter": ("messengers.{}.weight", lambda a: a.transpose(2, 3, 1, 0)),
        "compatibility": ("compat.{}.weight", lambda a: a[:, :, 0, 0].T),
    }
    weights = {}
    for i, step in enumerate(layer._steps):
        for weight in step.trainable_variables:
            kind, _, index = weight.name.rpartition("_")
            kind = weight.name if weight.name == "unary_weight" else kind
            name, convert = conversions[kind]
            name = (f"steps.{i}." if loose else "") + name.format(index)
            weight.assign(convert(arrays[name]))
            weights[name] = (weight, convert)
    return layer, inputs, (unary, features), weights, arrays

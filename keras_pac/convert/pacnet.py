"""Weights that the authors of the PAC paper published."""

import numpy as np

from keras_pac.convert.pytorch_file import read_state_dict
from keras_pac.models import DJIF, JointBilateralUpsample, PacJointUpsample


def load_pacnet_weights(model, path):
    """Load weights that the authors of the PAC paper published into a joint upsampling network.

    Their files are PyTorch state dicts (`.pth`). PyTorch is not needed to read them, and nothing
    in such a file is executed: a pickle that asks for anything but tensors is refused. The kernels
    of transposed convolutions are mirrored, as theirs are stored the other way round.

    All weights are loaded or, if anything does not fit, none.

    Args:
        model: `PacJointUpsample`, `PacJointUpsampleLite` or `DJIF` of the file's factor and size,
            or `JointBilateralUpsample`, which has no weights: then the filter in the file is only
            checked to be the same filter of ones.
        path: str or path-like. The file, in PyTorch's zip format or the format before that.

    Returns:
        None. The weights of `model` are changed.

    Raises:
        ValueError: if `model` is of another class, if the file is damaged or no state dict, or if
            its entries do not fit: then every missing, extra and misshapen entry is named.
        OSError: if the file can't be opened.

    Example:
        >>> from keras_pac.convert import load_pacnet_weights
        >>> from keras_pac.models import PacJointUpsample
        >>> model = PacJointUpsample(4)
        >>> load_pacnet_weights(model, "tests/reference_models/pac_x4.pth")
        >>> load_pacnet_weights(PacJointUpsample(8), "tests/reference_models/pac_x4.pth")
        Traceback (most recent call last):
        ...
        ValueError: tests/reference_models/pac_x4.pth does not fit the PacJointUpsample:
          missing: up_convts.2.bias (32,)
          missing: up_convts.2.weight (32, 32, 5, 5)
          branch_g.conv3.bias: must have shape (48,), has (32,)
          branch_g.conv3.weight: must have shape (48, 32, 5, 5), has (32, 32, 5, 5)

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.1.
    """
    shapes = _expected_shapes(model)
    weights = read_state_dict(path)
    problems = _problems(model, shapes, weights)
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{path} does not fit the {type(model).__name__}:\n  {lines}")
    for name, layer in _layers(model).items():
        filter = weights[f"{name}.weight"].transpose(2, 3, 1, 0)
        if name.startswith("up_convts"):
            filter = filter[::-1, ::-1]
        # Some backends refuse reversed axes, other byte orders or read-only arrays.
        layer.set_weights(
            [np.array(value, "float64", order="C") for value in (filter, weights[f"{name}.bias"])]
        )


def _layers(model):
    """Return {name in the file: layer}."""
    if isinstance(model, PacJointUpsample):
        layers = {
            f"{branch}.conv{number}": layer
            for branch in ("branch_t", "branch_g", "branch_f")
            for number, layer in enumerate(getattr(model, branch), start=1)
        }
        return layers | {f"up_convts.{i}": layer for i, layer in enumerate(model.up_convts)}
    if isinstance(model, DJIF):
        return {
            f"{branch}.{2 * i}": layer  # the odd numbers are the ReLUs
            for branch in ("branch_t", "branch_g", "branch_joint")
            for i, layer in enumerate(getattr(model, branch))
        }
    if isinstance(model, JointBilateralUpsample):
        return {}
    raise ValueError(
        "`model` must be a PacJointUpsample, PacJointUpsampleLite, DJIF or "
        f"JointBilateralUpsample. Received: model={model}"
    )


def _expected_shapes(model):
    shapes = {}
    for name, layer in _layers(model).items():
        rows, cols, inputs, outputs = layer.kernel.shape
        shapes[f"{name}.weight"] = (outputs, inputs, rows, cols)
        shapes[f"{name}.bias"] = tuple(layer.bias.shape)
    if isinstance(model, JointBilateralUpsample):
        shapes["convt.weight"] = (1, 1, model.kernel_size, model.kernel_size)
    return shapes


def _problems(model, shapes, weights):
    missing = [f"missing: {name} {shapes[name]}" for name in sorted(shapes.keys() - weights.keys())]
    extra = [f"extra: {name}" for name in sorted(weights.keys() - shapes.keys())]
    misshapen = []
    for name in sorted(shapes.keys() & weights.keys()):
        value = weights[name]
        if value.shape != shapes[name]:
            misshapen.append(f"{name}: must have shape {shapes[name]}, has {value.shape}")
        elif value.dtype.kind != "f":
            misshapen.append(f"{name}: must have floating-point numbers, has {value.dtype}")
        elif isinstance(model, JointBilateralUpsample) and (value != 1).any():
            misshapen.append(f"{name}: must be a filter of ones")
    return missing + extra + misshapen

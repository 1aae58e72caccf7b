"""Measures the error of every method on every image."""

import argparse

import keras
import numpy as np

from examples.joint_upsampling import data
from examples.joint_upsampling.low_resolution import fill_unknown, low_resolution
from examples.joint_upsampling.metrics import epe, rmse
from examples.joint_upsampling.networks import load_network
from examples.joint_upsampling.pictures import save_comparison
from examples.training.errors import UserError, explained
from examples.training.reports import picture_path, write_report
from keras_pac import upsample
from keras_pac.models import JointBilateralUpsample
from keras_pac.models.upsample import pad_to_multiple

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
METRICS = {"rmse": rmse, "epe": epe}
# What a protocol sets, and the method whose error is 1 in the table.
PROTOCOLS = {"paper": ({}, "bilinear"), "gdsr": ({"low_res": "pillow", "border": 0}, "bicubic")}


def evaluate(args):
    """Measure, print the table, write the JSON file and the pictures that `args` ask for."""
    if args.protocol == "gdsr" and args.low_res:
        raise UserError("--protocol gdsr says how low-res targets are made: no --low-res with it")
    args = argparse.Namespace(**{**vars(args), **PROTOCOLS[args.protocol][0]})
    methods = make_methods(args)
    examples = data.open_dataset(args, data.split_or_default(args))
    metric = args.metric or default_metric(examples)
    errors = {name: {} for name in methods}
    for number, example in enumerate(data.arrays(examples), start=1):
        if args.protocol == "gdsr":
            example = cut_to_multiple(example, args.factor)
        name, truth = example["name"], example["target"]
        if name in errors["bilinear"]:
            raise UserError(f"Two examples of the data set have the name {name}")
        check_truth(example, args.border)
        results = {method: apply(methods[method], example, args) for method in methods}
        for method, result in results.items():
            errors[method][name] = args.scale * error(metric, result, truth, args.border)
        if args.pictures and number <= args.picture_count:
            path = picture_path(args.pictures, name)
            save_comparison(path, example["image"], results["nearest"], truth, results)
        print(f"\r{number} images", end="", flush=True)
    print()
    report = {
        "protocol": args.protocol,
        "data": args.data,
        "split": data.split_or_default(args),
        "factor": args.factor,
        "low_res": data.low_res_or_default(args.low_res, data.channels_of(examples)),
        "metric": metric,
        "scale": args.scale,
        "border": args.border,
        "methods": {
            name: {"mean": float(np.mean(list(images.values()))), "images": images}
            for name, images in errors.items()
        },
    }
    print_table(report)
    if args.json:
        write_report(args.json, report)
    return report


def apply(method, example, args):
    """What a method makes of the low-res target of an example, in the size of its target.

    Where the factor does not divide that size, the last row and column are repeated before.
    """
    guide = pad_to_multiple(example["image"], args.factor)
    target = pad_to_multiple(fill_unknown(example["target"]), args.factor)
    how = data.low_res_or_default(args.low_res, target.shape[2])
    result = method(low_resolution(target, args.factor, how), guide)
    return result[: example["target"].shape[0], : example["target"].shape[1]]


def interpolate(low, factor, interpolation):
    """Plain upsampling ("nearest", "bilinear" or "bicubic") with half-pixel centres."""
    size = (low.shape[0] * factor, low.shape[1] * factor)
    return np.asarray(
        keras.ops.image.resize(low, size, interpolation=interpolation, data_format="channels_last")
    )


def with_network(network, args):
    """Upsampling by a network, or "scenes", as a function of the low-res target and the guide."""

    def method(low, guide):
        how = data.low_res_or_default(args.low_res, low.shape[2])
        told = data.kind_of(how) if args.tell_low_res else "any"
        return upsample(low, guide, told, network, tile=args.tile or max(guide.shape))

    return method


def cut_to_multiple(example, factor):
    """The example without the last rows and columns that do not fill a low-res pixel."""
    rows, cols = (size - size % factor for size in example["target"].shape[:2])
    if not rows or not cols:
        size = "{}x{}".format(*example["target"].shape[:2])
        raise UserError(
            f"{example['name']} has {size} pixels, less than one low-res pixel: that is "
            f"{factor}x{factor} (--factor)"
        )
    return {**example, **{key: example[key][:rows, :cols] for key in ("image", "target")}}


def default_metric(examples):
    return "epe" if data.channels_of(examples) == 2 else "rmse"


def error(metric, result, truth, border):
    """The error without `border` pixels on each side."""
    return METRICS[metric](inside(result, border), inside(truth, border))


def inside(image, border):
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def check_truth(example, border):
    """Raise a UserError unless something can be measured."""
    if not np.isfinite(inside(example["target"], border)).all(-1).any():
        raise UserError(
            f"{example['name']}: no pixel of known truth is left inside a border of {border} pixels"
        )


def mean_error(network, examples, args):
    """The mean error of a network over the examples, in the unit of the target."""
    method, metric = with_network(network, args), default_metric(examples)
    errors = [
        error(metric, apply(method, example, args), example["target"], args.border)
        for example in data.arrays(examples)
    ]
    return float(np.mean(errors))


def make_methods(args):
    """{name of a method: function of the low-res target and the guide}."""
    methods = {
        name: lambda low, guide, name=name: interpolate(low, args.factor, name)
        for name in INTERPOLATIONS
    }
    for size, space, color in args.bilateral or [default_bilateral(args.factor)]:
        name = f"joint bilateral {size:.0f}, {space:g}, {color:g}"
        with explained(f"--bilateral {size:g} {space:g} {color:g}: ", ValueError):
            network = JointBilateralUpsample(args.factor, int(size), space, color)
        methods[name] = with_network(network, args)
    for path in args.weights:
        network = path if path == "scenes" else load_network(path)
        if network != "scenes" and network.factor != args.factor:
            raise UserError(f"{path} upsamples ×{network.factor}, not ×{args.factor}")
        methods[str(path)] = with_network(network, args)
    return methods


def default_bilateral(factor):
    """Kernel size and weights: a window of 2 low-res pixels, a deviation of about half a pixel."""
    return 2 * factor + 1, 1.8 / factor, 6.0


def print_table(report):
    methods = report["methods"]
    images = len(methods["bilinear"]["images"])
    print(
        f"{report['metric'].upper()}, mean of {images} images, ×{report['factor']}, "
        f"{report['low_res']} low-res, border {report['border']}, scale {report['scale']:g}"
    )
    width, whole = max(map(len, methods)), PROTOCOLS[report["protocol"]][1]
    print(f"  {'method':<{width}}  {'error':>10}  of {whole}")
    for name, values in methods.items():
        share = values["mean"] / methods[whole]["mean"] if methods[whole]["mean"] else float("nan")
        print(f"  {name:<{width}}  {values['mean']:>10.4f}  {share:>11.3f}")

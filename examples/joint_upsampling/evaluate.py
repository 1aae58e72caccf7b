"""Measures the error of every method on every image."""

import numpy as np

from examples.joint_upsampling import data
from examples.joint_upsampling.networks import load_network, tile_size
from examples.training.errors import UserError, explained
from examples.training.reports import picture_path, write_report
from examples.upsampling.low_resolution import (
    crop_back,
    fill_unknown,
    low_resolution,
    pad_to_multiple,
)
from examples.upsampling.methods import interpolate, upsample
from examples.upsampling.metrics import epe, rmse
from examples.upsampling.pictures import save_comparison
from keras_pac.models import JointBilateralUpsample

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
METRICS = {"rmse": rmse, "epe": epe}


def evaluate(args):
    """Measure, print the table, write the JSON file and the pictures that `args` ask for."""
    methods = make_methods(args)
    errors = {name: {} for name in methods}
    metric = low_res = None
    examples = data.open_dataset(args, data.split_or_default(args))
    for number, example in enumerate(data.arrays(examples)):
        channels = example["target"].shape[2]
        metric = args.metric or default_metric(channels)
        low_res = data.low_res_or_default(args.low_res, channels)
        guide, low = low_res_example(example, args.factor, low_res)
        truth = example["target"]
        results = {name: method(low, guide) for name, method in methods.items()}
        results = {name: crop_back(result, truth) for name, result in results.items()}
        if example["name"] in errors[next(iter(methods))]:
            raise UserError(f"Two examples of the data set have the name {example['name']}")
        for name, result in results.items():
            errors[name][example["name"]] = args.scale * error(metric, result, truth, args.border)
        if args.pictures and number < args.picture_count:
            nearest = crop_back(interpolate(low, args.factor, "nearest"), truth)
            path = picture_path(args.pictures, example["name"])
            save_comparison(path, example["image"], nearest, truth, results)
        print(f"\r{number + 1} images", end="", flush=True)
    print()
    report = make_report(args, metric, low_res, errors)
    print_table(report)
    if args.json:
        write_report(args.json, report)
    return report


def low_res_example(example, factor, low_res):
    """The guide and the low-res target, of a size that the factor divides.

    To get there the last row and column are repeated; `crop_back` removes them from results.
    """
    target = pad_to_multiple(fill_unknown(example["target"]), factor)
    return pad_to_multiple(example["image"], factor), low_resolution(target, factor, low_res)


def default_metric(channels):
    return "epe" if channels == 2 else "rmse"


def error(metric, result, truth, border):
    """The error without `border` pixels on each side."""
    inside = tuple(slice(border, size - border) for size in truth.shape[:2])
    if not np.isfinite(truth[inside]).all(-1).any():
        raise UserError(f"No pixel of known truth is left inside a border of {border} pixels")
    return METRICS[metric](result[inside], truth[inside])


def mean_error(network, examples, args):
    """The mean error over the examples, in the unit of the target."""
    errors = []
    for example in data.arrays(examples):
        channels = example["target"].shape[2]
        low_res = data.low_res_or_default(args.low_res, channels)
        guide, low = low_res_example(example, args.factor, low_res)
        result = crop_back(upsample(network, low, guide), example["target"])
        errors.append(error(default_metric(channels), result, example["target"], args.border))
    return float(np.mean(errors))


def make_methods(args):
    """{name of a method: function of the low-res target and the guide}."""
    methods = {
        name: lambda low, guide, name=name: interpolate(low, args.factor, name)
        for name in INTERPOLATIONS
    }
    tile = tile_size(args.tile, args.factor)

    def with_network(network):
        return lambda low, guide: upsample(network, low, guide, tile)

    for size, space, color in args.bilateral or [default_bilateral(args.factor)]:
        name = f"joint bilateral {size:.0f}, {space:g}, {color:g}"
        with explained(f"--bilateral {size:g} {space:g} {color:g}: ", ValueError):
            network = JointBilateralUpsample(args.factor, int(size), space, color)
        methods[name] = with_network(network)
    for path in args.weights:
        network = load_network(path)
        if network.factor != args.factor:
            raise UserError(f"{path} upsamples ×{network.factor}, not ×{args.factor}")
        methods[str(path)] = with_network(network)
    return methods


def default_bilateral(factor):
    """Kernel size and weights: a window of 2 low-res pixels, a deviation of about half a pixel."""
    return 2 * factor + 1, 1.8 / factor, 6.0


def make_report(args, metric, low_res, errors):
    return {
        "data": args.data,
        "split": data.split_or_default(args),
        "factor": args.factor,
        "low_res": low_res,
        "metric": metric,
        "scale": args.scale,
        "border": args.border,
        "methods": {
            name: {"mean": float(np.mean(list(values.values()))), "images": values}
            for name, values in errors.items()
        },
    }


def print_table(report):
    methods = report["methods"]
    images = len(methods["bilinear"]["images"])
    print(
        f"{report['metric'].upper()}, mean of {images} images, ×{report['factor']}, "
        f"{report['low_res']} low-res, border {report['border']}, scale {report['scale']:g}"
    )
    width = max(map(len, methods))
    print(f"  {'method':<{width}}  {'error':>10}  of bilinear")
    bilinear = methods["bilinear"]["mean"]
    for name, values in methods.items():
        share = values["mean"] / bilinear if bilinear else float("nan")
        print(f"  {name:<{width}}  {values['mean']:>10.4f}  {share:>11.3f}")

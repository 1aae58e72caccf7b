"""Measures trained networks."""

import statistics
import time

import numpy as np
from keras import ops

from examples.segmentation import data
from examples.segmentation.metrics import MeanIoU, near_borders, scores
from examples.segmentation.networks import check_output_size, count_classes, load_network
from examples.segmentation.palettes import PALETTES, class_names
from examples.segmentation.pictures import save_comparison
from examples.segmentation.refinement import refinement
from examples.training.errors import UserError
from examples.training.reports import picture_path, write_report


def evaluate(args):
    """Measure, print the table, write the JSON file and the pictures that `args` ask for."""
    networks = {path: load_network(path) for path in args.weights}
    classes = {path: count_classes(network) for path, network in networks.items()}
    if len(set(classes.values())) > 1:
        raise UserError(f"The networks must have the same number of classes. They have {classes}")
    for network in networks.values():
        check_output_size(network)
    count = classes[args.weights[0]]
    metrics = {path: MeanIoU(count) for path in networks}
    border_metrics = {(path, n): MeanIoU(count) for path in networks for n in args.near_borders}
    refined, seconds = refinement(args), {path: [] for path in networks}
    for number, example in enumerate(data.arrays(data.open_dataset(args, args.split), count), 1):
        image, likely = example["image"], {}
        for path, network in networks.items():
            start = time.perf_counter()
            likely[path] = ops.convert_to_numpy(refined(logits_of(network, image), image))
            seconds[path].append(time.perf_counter() - start)
        for path, metric in metrics.items():
            metric.update_state(example["label"], likely[path])
        for width in args.near_borders:
            label = near_borders(example["label"], width)
            for path in networks:
                border_metrics[path, width].update_state(label, likely[path])
        if args.pictures and number <= args.picture_count:
            picture = picture_path(args.pictures, example["name"])
            panels = [*map(labels_of, likely.values()), example["label"]]
            save_comparison(picture, image, panels, PALETTES[args.palette])
        print(f"\r{number} images", end="", flush=True)
    print()
    confusions = {path: ops.convert_to_numpy(metric.total_cm) for path, metric in metrics.items()}
    report = make_report(args, confusions, number, count)
    for path, times in seconds.items():
        report["networks"][path]["milliseconds"] = 1000 * statistics.median(times)
    for (path, width), metric in border_metrics.items():
        counted = ops.convert_to_numpy(metric.total_cm).any()
        report["networks"][path]["near_borders"][width] = (
            float(metric.result()) if counted else None
        )
    print_table(report)
    if args.json:
        write_report(args.json, report)
    return report


def logits_of(network, image):
    """What a network says of a uint8 RGB image."""
    takes = network.inputs[0].shape[1:3]
    if any(fixed not in (None, size) for fixed, size in zip(takes, image.shape)):
        raise UserError(
            f"The network takes images of {takes[0]}x{takes[1]} pixels only. Received: one of "
            f"{image.shape[0]}x{image.shape[1]}"
        )
    return network(image[None].astype(np.float32), training=False)[0]


def labels_of(likely):
    """The label of every pixel whose logit or probability is largest; uint8."""
    return ops.convert_to_numpy(ops.argmax(likely, axis=-1)).astype(np.uint8)


def confusion_of(network, examples):
    """The confusion matrix over all examples."""
    metric = MeanIoU(count_classes(network))
    for example in examples:
        metric.update_state(example["label"], logits_of(network, example["image"]))
    return ops.convert_to_numpy(metric.total_cm)


def make_report(args, confusions, images, classes):
    total = next(iter(confusions.values())).sum()
    if not total:
        raise UserError(f"The split {args.split} has no pixel that counts")
    return {
        "data": args.data,
        "split": args.split,
        "refine": args.refine,
        "refine_options": args.refine_options,
        "images": images,
        "pixels": int(total),
        "classes": class_names(args.palette, classes),
        "networks": {
            path: {
                **_without_nan(scores(confusion)),
                "near_borders": {},
                "confusion": confusion.tolist(),
            }
            for path, confusion in confusions.items()
        },
    }


def _without_nan(values):
    """JSON has no NaN: null is the IoU of a class that does not occur."""
    return {**values, "iou": [None if np.isnan(iou) else iou for iou in values["iou"]]}


def print_table(report):
    """Print one line for every network, then one for every class."""
    print(f"{report['split']}, {report['images']} images, {report['pixels']:,} pixels that count")
    networks = report["networks"]
    width = max(map(len, [*networks, "network"]))
    first = next(iter(networks.values()))
    headings = {pixels: f"  within {pixels}" for pixels in first["near_borders"]}
    columns = f"mean IoU  pixel accuracy  ms per image{''.join(headings.values())}"
    print(f"  {'network':<{width}}  {columns}")
    for path, values in networks.items():
        cells = f"{values['milliseconds']:>14.0f}"
        for pixels, iou in values["near_borders"].items():
            cells += f"{'none' if iou is None else f'{iou:.2%}':>{len(headings[pixels])}}"
        accuracy = f"{values['pixel_accuracy']:>14.2%}"
        print(f"  {path:<{width}}  {values['mean_iou']:>8.2%}  {accuracy}{cells}")
    if headings:
        print("within N: the mean IoU of pixels that are at most N from another label")
    print("IoU of every class, the networks in this order")
    width = max(map(len, report["classes"]))
    for number, name in enumerate(report["classes"]):
        ious = [values["iou"][number] for values in networks.values()]
        cells = ["absent" if iou is None else f"{iou:.2%}" for iou in ious]
        print(f"  {name:<{width}}  " + "  ".join(f"{cell:>7}" for cell in cells))

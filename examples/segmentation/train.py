"""Trains a segmentation network with Keras's `fit`."""

import functools
import zlib
from pathlib import Path

import keras

from examples.segmentation import data
from examples.segmentation.evaluate import measure
from examples.segmentation.metrics import MeanIoU, PixelLoss, scores
from examples.segmentation.networks import (
    add_crf,
    check_output_size,
    count_classes,
    load_network,
    make_network,
    swap,
)
from examples.training.errors import UserError
from examples.training.fit import check_validation, fit, steps_left
from examples.training.run_folder import RunFolder


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    check_validation(args)
    folder = RunFolder(args.out, args.resume)
    keras.utils.set_random_seed(args.seed)
    network, front = build_network(args)
    classes = count_classes(network)
    examples = data.prepared(data.open_dataset(args, args.split), args, classes)
    validation = args.validation and data.open_dataset(args, args.validation)
    if validation:
        data.check_validation(validation, args.validation, classes)
    settings = run_settings(args, examples)
    folder.check_settings(settings)
    alone, last = args.crf_steps_alone, args.crf_steps_alone + args.steps
    print(
        f"{network.name}, {network.count_params():,} weights, {classes} classes, "
        f"{examples.count} images, {steps_left(folder.step, last)}"
    )

    def mean_iou():
        return scores(measure(network, data.arrays(validation, classes)))["mean_iou"]

    fit_more = functools.partial(
        fit,
        batches=lambda step: data.batches(examples, args, step),
        folder=folder,
        args=args,
        settings=settings,
        validate=validation and mean_iou,
        advice="Try a smaller --learning-rate",
    )
    if folder.step < alone:
        trained = front.trainable_variables
        set_trainable(trained, False)
        with_crf = CrfAlone(network)
        compile_network(with_crf, args, classes, args.crf_learning_rate, alone)
        fit_more(with_crf, last=alone)
        set_trainable(trained, True)
    compile_network(network, args, classes, args.learning_rate, args.steps)
    fit_more(network, first=alone, last=last)
    return folder.network


class CrfAlone(keras.Model):
    """A network with a CRF, to train the CRF alone: the rest does what it does in inference.

    To freeze its variables is not enough: in training, `fit` would still drop units out.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, images):
        return self.network(images, training=False)

    def save(self, path):
        self.network.save(path)


def set_trainable(variables, trainable):
    for variable in variables:
        variable.trainable = trainable


def compile_network(network, args, classes, learning_rate, steps):
    network.compile(
        optimizer=make_optimizer(args, learning_rate, steps),
        loss=PixelLoss(),
        metrics=[MeanIoU(classes)],
        jit_compile="auto" if args.crop else False,  # XLA compiles anew for every size of images
    )


def make_optimizer(args, learning_rate, steps):
    schedules = keras.optimizers.schedules
    if args.schedule == "poly":
        rate = schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=0.0, power=0.9)
    else:
        rate = schedules.CosineDecay(learning_rate, steps)
    if args.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def build_network(args):
    """The network that `args` ask for, and what is in front of its new CRF (None without one)."""
    if args.weights and args.network != "FCN8s":
        raise UserError("--weights is for --network FCN8s")
    if args.start:
        network = load_network(args.start)
        if args.classes and args.classes != count_classes(network):
            raise UserError(
                f"{args.start} has {count_classes(network)} classes, not --classes {args.classes}"
            )
    elif args.classes:
        network = make_network(args.network, args.classes, args.padding, args.weights)
    else:
        raise UserError("--network needs --classes, the number of labels")
    if bool(args.swap) != bool(args.guide):
        raise UserError("--swap LAYER … and --guide LAYER go together")
    for option in ("crf_steps_alone", "loose", "position_scale"):
        if getattr(args, option) and args.crf is None:
            raise UserError(f"--{option.replace('_', '-')} needs --crf")
    if args.swap:
        network = swap(network, args.swap, args.guide, args.guide_scale)
    front = None
    if args.crf is not None:
        front, network = network, add_crf(network, args)
    check_output_size(network)
    return network, front


def run_settings(args, examples):
    """Everything that decides what the run computes; a checkpoint fits no other."""
    names = (
        "network padding weights classes swap guide guide_scale crf color_scale position_scale "
        "mean_field_steps loose crf_steps_alone steps crf_learning_rate learning_rate schedule "
        "optimizer batch_size crop flips seed ignore"
    ).split()
    start = zlib.crc32(Path(args.start).read_bytes()) if args.start else None
    return {
        **{name: getattr(args, name) for name in names},
        "checksum of --start": start,
        "images": examples.count,
        "data set": examples.fingerprint,
    }

"""Trains a segmentation network with Keras's `fit`."""

import keras

from examples.segmentation import data, networks
from examples.segmentation.evaluate import confusion_of
from examples.segmentation.metrics import MeanIoU, PixelLoss, scores
from examples.training.command_line import settings_of
from examples.training.errors import UserError
from examples.training.run import Run


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    run = Run(args)
    keras.utils.set_random_seed(args.seed)
    network, trained = build_network(args)
    classes = networks.count_classes(network)
    examples = data.prepared(data.open_dataset(args, args.split), args, classes)
    validation = args.validation and data.open_dataset(args, args.validation)
    if validation:
        data.check_validation(validation, args.validation, classes)
    run.plan(args.steps, settings_of(args, examples))

    trained.compile(
        optimizer=make_optimizer(args),
        loss=PixelLoss(),
        metrics=[MeanIoU(classes)],
        jit_compile="auto" if args.crop else False,  # XLA compiles anew for every size of images
    )
    run.restore(trained)
    print(
        f"{network.name}, {network.count_params():,} weights, {classes} classes, "
        f"{examples.count} images, {run.steps_left}"
    )

    def mean_iou():
        return scores(confusion_of(network, data.arrays(validation, classes)))["mean_iou"]

    with run.errors_explained():
        trained.fit(
            data.batches(examples, args, run.step),
            callbacks=run.callbacks(validation and mean_iou, "Try a smaller --learning-rate"),
            **run.epochs(),
        )
    return run.finish(network)


def make_optimizer(args):
    schedules = keras.optimizers.schedules
    if args.schedule == "poly":
        rate = schedules.PolynomialDecay(
            args.learning_rate, args.steps, end_learning_rate=0.0, power=0.9
        )
    else:
        rate = schedules.CosineDecay(args.learning_rate, args.steps)
    if args.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def build_network(args):
    """The network that `args` ask for, and the model that trains the part of it to be trained."""
    if args.weights and args.network != "FCN8s":
        raise UserError("--weights is for --network FCN8s")
    if args.start:
        network = networks.load_network(args.start)
        if args.classes and args.classes != networks.count_classes(network):
            raise UserError(
                f"{args.start} has {networks.count_classes(network)} classes, not --classes "
                f"{args.classes}"
            )
    elif args.classes:
        network = networks.make_network(args.network, args.classes, args.padding, args.weights)
    else:
        raise UserError("--network needs --classes, the number of labels")
    if args.keep_statistics and not args.start:
        raise UserError("--keep-statistics is for --start: a new network has none yet")
    if bool(args.swap) != bool(args.guide):
        raise UserError("--swap LAYER … and --guide LAYER go together")
    for option in ("crf_alone", "loose", "position_scale"):
        if getattr(args, option) and args.crf is None:
            raise UserError(f"--{option.replace('_', '-')} needs --crf")
    if args.swap:
        network = networks.swap(network, args.swap, args.guide, args.guide_scale)
    whole = network if args.crf is None else networks.add_crf(network, args)
    networks.check_output_size(whole)
    if args.crf_alone:
        return whole, networks.AsInInference(whole, front=network)
    return whole, networks.AsInInference(whole) if args.keep_statistics else whole

"""Trains a segmentation network; a run that is stopped and resumed takes the same steps."""

import dataclasses
import functools
import zlib
from pathlib import Path

import keras
import tensorflow as tf

from examples.files import IGNORED_LABEL
from examples.segmentation import data
from examples.segmentation.evaluate import measure
from examples.segmentation.metrics import scores
from examples.segmentation.networks import (
    add_crf,
    check_output_size,
    count_classes,
    load_network,
    make_network,
    swap,
)
from examples.training.errors import UserError, full_disk_explained
from examples.training.loop import check_validation, is_validated, run_steps, steps_left
from examples.training.run_folder import RunFolder

COLUMNS = ("epoch", "learning_rate", "loss", "mean_iou")


@dataclasses.dataclass
class Stage:
    """Some steps that train some of the variables, with a learning rate that falls to zero."""

    last_step: int
    whole: bool  # whether the whole network is trained, or the CRF alone
    variables: list
    optimizer: keras.optimizers.Optimizer


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    check_validation(args)
    folder = RunFolder(args.out, COLUMNS, args.resume)
    keras.utils.set_random_seed(args.seed)
    network, crf_variables = build_network(args)
    classes = count_classes(network)
    images = data.read_images(
        data.open_dataset(args, args.split, classes), in_file=args.cache == "file"
    )
    if args.validation is not None:  # a wrong split must fail now and not at the end
        data.check_split(data.open_dataset(args, args.validation, classes), args.validation)
    sampler = data.Sampler(images, args.crop, args.flips, args.seed)
    stages = make_stages(args, network, crf_variables)
    optimizer_variables = [v for stage in stages for v in stage.optimizer.variables]
    variables = [*network.variables, *optimizer_variables]
    settings = run_settings(args, images)
    done, last = folder.restore(variables, settings), stages[-1].last_step

    def report(optimizer, step, loss):
        """A row in each log, then the network as it is and the checkpoint."""
        mean_iou = None
        if is_validated(args, step, last):
            examples = data.open_dataset(args, args.validation, classes)
            mean_iou = scores(measure(network, examples))["mean_iou"]
        folder.log(
            step,
            epoch=step * args.batch_size / len(images),
            learning_rate=float(optimizer.learning_rate),
            loss=loss,
            mean_iou=mean_iou,
        )
        folder.save(step, settings, variables, network)

    print(
        f"{network.name}, {network.count_params():,} weights, {classes} classes, "
        f"{len(images)} images, {steps_left(done, last)}"
    )
    if done < last:
        with full_disk_explained(
            f"The last checkpoint in {args.out} is whole: make room and go on with --resume."
        ):
            folder.prepare(done)
            for stage in stages:
                batches = data.batches(sampler, args.batch_size, done, stage.last_step)
                step = make_step(network, stage, batches.element_spec)
                run_steps(
                    *(step, batches, done, stage.last_step, last, args.save_every),
                    functools.partial(report, stage.optimizer),
                    advice="Try a smaller --learning-rate",
                )
                done = max(done, stage.last_step)
    return folder.network


def build_network(args):
    """The network that `args` ask for and the variables of its new CRF."""
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
    crf_variables = []
    if args.crf is not None:
        network, crf_variables = add_crf(network, args)
    check_output_size(network)
    return network, crf_variables


def make_stages(args, network, crf_variables):
    """First the CRF alone, if asked for, then all together."""
    alone, together = args.crf_steps_alone, args.steps
    stages = []
    if alone:
        optimizer = make_optimizer(args, args.crf_learning_rate, alone)
        stages.append(Stage(alone, False, crf_variables, optimizer))
    optimizer = make_optimizer(args, args.learning_rate, together)
    stages.append(Stage(alone + together, True, network.trainable_variables, optimizer))
    for stage in stages:
        stage.optimizer.build(stage.variables)
    return stages


def make_optimizer(args, learning_rate, steps):
    schedules = keras.optimizers.schedules
    if args.schedule == "poly":
        rate = schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=0.0, power=0.9)
    else:
        rate = schedules.CosineDecay(learning_rate, steps)
    if args.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def run_settings(args, images):
    """All that decides what the run computes; a checkpoint of other settings is refused."""
    names = (
        "network padding weights classes swap guide guide_scale crf color_scale position_scale "
        "mean_field_steps loose crf_steps_alone steps crf_learning_rate learning_rate schedule "
        "optimizer batch_size crop flips seed ignore"
    ).split()
    start = zlib.crc32(Path(args.start).read_bytes()) if args.start else None
    return {
        **{name: getattr(args, name) for name in names},
        "checksum of --start": start,
        "images": len(images),
        "checksum of the images": images.checksum,
    }


def pixel_loss(logits, labels):
    """Mean cross-entropy over the pixels that are not ignored; 0 where there are none."""
    counted = labels != IGNORED_LABEL
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(counted, tf.cast(labels, tf.int32), 0), tf.cast(logits, tf.float32)
    )
    counted = tf.cast(counted, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(counted * losses), tf.reduce_sum(counted))


def make_step(network, stage, batch_spec):
    """One step of a stage: takes a batch, returns its loss."""

    @tf.function(input_signature=[batch_spec])
    def step(batch):
        images, labels = batch
        # In the first stage the network in front of the CRF needs no gradients.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in stage.variables])
            logits = network(tf.cast(images, tf.float32), training=stage.whole)
            loss = pixel_loss(logits, labels)
        gradients = tape.gradient(loss, [variable.value for variable in stage.variables])
        stage.optimizer.apply(gradients, stage.variables)
        return loss

    return step

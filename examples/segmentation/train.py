"""The training loop: the same steps whether it is stopped and resumed or not."""

import dataclasses
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
from examples.training.checkpoints import clear_about_full_disk
from examples.training.errors import UserError
from examples.training.run_folder import RunFolder, check_validation, mean_loss, steps_left

COLUMNS = ("epoch", "learning_rate", "loss", "mean_iou")


@dataclasses.dataclass
class Stage:
    """Some steps that train some of the variables, with a learning rate that falls to zero."""

    last_step: int
    whole: bool  # whether the whole network is in training; else all but the CRF is as it is
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
    if args.validation is not None:  # what is wrong with it should not show up at the end
        data.check_split(data.open_dataset(args, args.validation, classes), args.validation)
    sampler = data.Sampler(images, args.crop, args.flips, args.seed)
    stages = make_stages(args, network, crf_variables)
    optimizer_variables = [v for stage in stages for v in stage.optimizer.variables]
    run = Run(
        args,
        network,
        [*network.variables, *optimizer_variables],
        run_settings(args, images),
        folder,
    )
    last = stages[-1].last_step
    print(
        f"{network.name}, {network.count_params():,} weights, {classes} classes, "
        f"{len(images)} images, {steps_left(run.step, last)}"
    )
    if run.step < last:
        with clear_about_full_disk(
            f"The last checkpoint in {args.out} is whole: make room and go on with --resume."
        ):
            folder.prepare(run.step)
            for stage in stages:
                run.train_stage(stage, sampler, last)
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

    @tf.function(input_signature=batch_spec)
    def step(images, labels):
        # In the first stage the network in front of the CRF needs no gradients.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in stage.variables])
            logits = network(tf.cast(images, tf.float32), training=stage.whole)
            loss = pixel_loss(logits, labels)
        gradients = tape.gradient(loss, [variable.value for variable in stage.variables])
        stage.optimizer.apply(gradients, stage.variables)
        return loss

    return step


class Run:
    """A training run, from its last checkpoint on."""

    def __init__(self, args, network, variables, settings, folder):
        self.args, self.network, self.variables = args, network, variables
        self.settings, self.folder = settings, folder
        self.step = folder.restore(variables, settings)

    def train_stage(self, stage, sampler, last):
        """The steps of a stage that are left to do; `last` is the last step of the run."""
        args, losses = self.args, []
        batches = data.batches(sampler, args.batch_size, self.step, stage.last_step)
        step = make_step(self.network, stage, batches.element_spec)
        bar = keras.utils.Progbar(last, stateful_metrics=["loss"])
        for images, labels in batches:
            losses.append(step(images, labels))
            self.step += 1
            if self.step % args.save_every == 0 or self.step == stage.last_step:
                loss = mean_loss(losses, self.step, "Try a smaller --learning-rate")
                self._report_and_save(loss, stage, len(sampler.images), self.step == last)
                losses.clear()
                bar.update(self.step, [("loss", loss)])
            elif self.step % 10 == 0:  # reading the loss makes a GPU wait
                bar.update(self.step, [("loss", float(losses[-1]))])

    def _report_and_save(self, loss, stage, images, is_last):
        self.folder.log(
            self.step,
            epoch=self.step * self.args.batch_size / images,
            learning_rate=float(stage.optimizer.learning_rate),
            loss=loss,
            mean_iou=self._validate(is_last),
        )
        self.folder.save(self.step, self.settings, self.variables, self.network)

    def _validate(self, is_last):
        args = self.args
        due = args.validate_every and self.step % args.validate_every == 0
        if args.validation is None or not (due or is_last):
            return None
        classes = count_classes(self.network)
        examples = data.open_dataset(args, args.validation, classes)
        return scores(measure(self.network, examples))["mean_iou"]

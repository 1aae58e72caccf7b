"""Trains a joint upsampling network with Keras's `fit`."""

import math

import keras

from examples.joint_upsampling import data
from examples.joint_upsampling.devices import is_chief, make_strategy
from examples.joint_upsampling.evaluate import check_truth, mean_error
from examples.joint_upsampling.metrics import KnownPixels, RootMeanSquaredError
from examples.joint_upsampling.networks import make_network
from examples.training.command_line import settings_of
from examples.training.errors import UserError
from examples.training.run import Run


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    strategy = make_strategy(args.devices, args.workers)
    run = Run(args, is_chief(strategy))
    examples = data.open_dataset(args, data.split_or_default(args))
    check_options(args, strategy, data.channels_of(examples))
    validation = args.validation and data.open_dataset(args, args.validation)
    if validation:
        for example in data.arrays(validation):  # an error now, not at the end
            check_truth(example, args.border)
    steps = args.steps or math.ceil(args.epochs * examples.count / args.batch_size)
    how = args.low_res or data.low_res_or_default(None, data.channels_of(examples))
    run.plan(steps, {**settings_of(args, examples), "low_res": how})

    keras.utils.set_random_seed(args.seed)
    with strategy.scope():
        network = make_network(args.network, args.factor, args.precision, args.initial_weights)
        network.compile(
            optimizer=make_optimizer(args, steps),
            loss=KnownPixels(args.loss),
            metrics=[RootMeanSquaredError()],  # of targets in [0, 1]
        )
        run.restore(network)
    print(
        f"{args.network} ×{args.factor}, {network.count_params():,} weights, {examples.count} "
        f"images, {run.steps_left}, {strategy.num_replicas_in_sync} device(s)"
    )
    measure = validation and (lambda: mean_error(network, validation, args))
    with run.errors_explained():
        network.fit(
            data.batches(examples, args, run.step),
            callbacks=run.callbacks(measure, "Try a smaller --learning-rate or --clip-norm 0.2"),
            **run.epochs(),
        )
    return run.finish(network)


def make_optimizer(args, steps):
    if args.schedule == "cosine":
        warmup = min(args.warmup, steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else args.learning_rate,
            steps - warmup,
            warmup_target=args.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    else:  # the paper's: a tenth after 3500 and after 4500 of 5000 epochs
        drops = [steps * 7 // 10, steps * 9 // 10]
        rates = [args.learning_rate * share for share in (1, 0.1, 0.01)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=args.clip_norm)
    if args.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def check_options(args, strategy, channels):
    """Raise a UserError unless the options fit each other, the target and the devices."""
    if args.crop % args.factor:
        raise UserError(
            f"The crop must be a multiple of the factor: {args.crop} of {args.factor} is not"
        )
    if args.low_res == "any" and args.network != "LearnedBilateralUpsample":
        raise UserError("--low-res any is for --network LearnedBilateralUpsample, which is told")
    if args.augment and channels != 1:
        raise UserError(f"--augment is for targets of one channel; these have {channels}")
    if args.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch-size {args.batch_size} cannot be shared equally by "
            f"{strategy.num_replicas_in_sync} devices"
        )

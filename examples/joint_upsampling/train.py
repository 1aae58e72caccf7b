"""Trains a joint upsampling network with Keras's `fit`."""

import keras
import tensorflow as tf

from examples.joint_upsampling import data
from examples.joint_upsampling.evaluate import mean_error
from examples.joint_upsampling.networks import make_network
from examples.training.errors import UserError
from examples.training.fit import check_validation, fit, steps_left
from examples.training.run_folder import RunFolder
from examples.upsampling.metrics import KnownPixels, RootMeanSquaredError


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    check_validation(args)
    strategy = make_strategy(args.devices, args.workers)
    folder = RunFolder(args.out, args.resume, is_chief=is_chief(strategy))
    check_sizes(args, strategy)
    examples = data.open_dataset(args, data.split_or_default(args))
    validation = args.validation and data.open_dataset(args, args.validation)
    low_res = data.low_res_or_default(args.low_res, examples.channels)
    steps = args.steps or data.steps_of_epochs(args.epochs, examples.count, args.batch_size)
    settings = run_settings(args, examples, low_res, steps)
    folder.check_settings(settings)

    keras.utils.set_random_seed(args.seed)
    with strategy.scope():
        network = make_network(args.network, args.factor, args.precision, args.initial_weights)
        network.compile(
            optimizer=make_optimizer(args, steps),
            loss=KnownPixels(args.loss),
            metrics=[RootMeanSquaredError()],  # of targets in [0, 1]
        )
        network.optimizer.build(network.trainable_variables)
    print(
        f"{args.network} ×{args.factor}, {network.count_params():,} weights, {examples.count} "
        f"images, {steps_left(folder.step, steps)}, {strategy.num_replicas_in_sync} device(s)"
    )
    fit(
        network,
        lambda step: data.batches(examples, args, low_res, step),
        folder,
        args,
        settings,
        last=steps,
        validate=validation and (lambda: mean_error(network, validation, args)),
        advice="Try a smaller --learning-rate or --clip-norm 0.2",
    )
    return folder.network


class Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """TensorFlow's strategy, with what `fit` asks of it: to reduce whole batches, and scalars."""

    def reduce(self, reduce_op, value, axis=None):
        def reduce_one(value):
            rank = self.experimental_local_results(value)[0].shape.rank
            return super(Workers, self).reduce(reduce_op, value, axis if rank else None)

        return tf.nest.map_structure(reduce_one, value)


def make_strategy(devices, workers):
    """One device, several of this machine, or those of every machine in TF_CONFIG."""
    if keras.backend.backend() != "tensorflow" and (workers or devices > 1):
        raise UserError("--devices and --workers need Keras's TensorFlow backend")
    if workers:
        return Workers()
    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":  # several devices on one processor: no faster, but the same program
        processor = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(processor, parts)
    names = [device.name for device in tf.config.list_logical_devices(kind)][:devices]
    if len(names) < devices:
        raise UserError(f"--devices {devices}: there are {len(names)} {kind}s")
    return tf.distribute.MirroredStrategy(names)


def is_chief(strategy):
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def check_sizes(args, strategy):
    """Raise a UserError unless the crop fits the factor, and the batch the devices."""
    if args.crop % args.factor:
        raise UserError(
            f"The crop must be a multiple of the factor: {args.crop} of {args.factor} is not"
        )
    if args.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch-size {args.batch_size} cannot be shared equally by "
            f"{strategy.num_replicas_in_sync} devices"
        )


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


def run_settings(args, examples, low_res, steps):
    """Everything that decides what the run computes; a checkpoint fits no other."""
    names = (
        "network factor precision initial_weights crop batch_size learning_rate schedule warmup "
        "loss clip_norm flips color_jitter seed"
    ).split()
    return {
        **{name: getattr(args, name) for name in names},
        "steps": steps,
        "low_res": low_res,
        "images": examples.count,
        "data set": examples.fingerprint,
    }

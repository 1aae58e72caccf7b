"""Trains a joint upsampling network; a run that is stopped and resumed takes the same steps."""

import keras
import tensorflow as tf

from examples.joint_upsampling import data
from examples.joint_upsampling.evaluate import mean_error
from examples.joint_upsampling.networks import make_network
from examples.training.errors import UserError, full_disk_explained
from examples.training.loop import check_validation, is_validated, run_steps, steps_left
from examples.training.run_folder import RunFolder

COLUMNS = ("epoch", "learning_rate", "loss", "rmse", "validation")


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    check_validation(args)
    folder = RunFolder(args.out, COLUMNS, args.resume)
    strategy = make_strategy(args.devices, args.workers)
    if args.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch-size {args.batch_size} cannot be shared equally by "
            f"{strategy.num_replicas_in_sync} devices"
        )
    images = data.read_images(
        data.open_dataset(args, data.split_or_default(args)), in_file=args.cache == "file"
    )
    if args.validation is not None:  # a wrong name must fail now and not at the end
        next(data.open_dataset(args, args.validation), None)
    sampler = data.Sampler(
        images, args.factor, args.low_res, args.crop, args.flips, args.color_jitter, args.seed
    )
    steps = args.steps or data.steps_of_epochs(args.epochs, len(images), args.batch_size)
    settings = run_settings(args, images, sampler, steps)

    keras.utils.set_random_seed(args.seed)
    with strategy.scope():
        network = make_network(args.network, args.factor, args.precision, args.initial_weights)
        optimizer = make_optimizer(args, steps)
        optimizer.build(network.trainable_variables)
    variables = [*network.variables, *optimizer.variables]

    done = folder.restore(variables, settings)
    is_chief = not args.workers or strategy.cluster_resolver.task_id == 0

    def report(step, loss):
        """A row in each log, then the network as it is and the checkpoint."""
        if not is_chief:
            return
        error = None
        if is_validated(args, step, steps):
            examples = data.open_dataset(args, args.validation)
            error = mean_error(network, examples, args.factor, args.low_res, args.border)
        folder.log(
            step,
            epoch=step * args.batch_size / len(images),
            learning_rate=float(optimizer.learning_rate),
            loss=loss,
            rmse=loss**0.5 if args.loss == "l2" else None,  # of targets in [0, 1]
            validation=error,
        )
        folder.save(step, settings, variables, network)

    def batches_of(context):
        return data.batches(sampler, args.batch_size, done, steps, context)

    print(
        f"{args.network} ×{args.factor}, {network.count_params():,} weights, {len(images)} images, "
        f"{steps_left(done, steps)}, {strategy.num_replicas_in_sync} device(s)"
    )
    if done < steps:
        with full_disk_explained(
            f"The last checkpoint in {args.out} is whole: make room and go on with --resume."
        ):
            if is_chief:
                folder.prepare(done)
            step = make_step(args, strategy, network, optimizer)
            batches = strategy.distribute_datasets_from_function(batches_of)
            advice = "Try a smaller --learning-rate or --clip-norm 0.2"
            run_steps(step, batches, done, steps, steps, args.save_every, report, advice)
    return folder.network


def make_strategy(devices, workers):
    """One device, several of this machine, or those of every machine in TF_CONFIG."""
    if workers:
        return tf.distribute.MultiWorkerMirroredStrategy()
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


def run_settings(args, images, sampler, steps):
    """All that decides what the run computes; a checkpoint of other settings is refused."""
    names = (
        "network factor precision initial_weights crop batch_size learning_rate schedule warmup "
        "loss clip_norm flips color_jitter seed"
    ).split()
    return {
        **{name: getattr(args, name) for name in names},
        "steps": steps,
        "low_res": sampler.low_res,
        "images": len(images),
        "checksum of the images": images.checksum,
    }


def example_losses(output, target, kind):
    """Mean error of every example over its known pixels; 0 where there are none."""
    output = tf.cast(output, tf.float32)
    known = tf.reduce_all(tf.math.is_finite(target), -1, keepdims=True)
    difference = output - tf.where(known, target, output)
    errors = tf.abs(difference) if kind == "l1" else tf.square(difference)
    count = tf.reduce_sum(tf.cast(known, tf.float32), (1, 2, 3)) * target.shape[3]
    return tf.math.divide_no_nan(tf.reduce_sum(errors, (1, 2, 3)), count)


def make_step(args, strategy, network, optimizer):
    """One step on all devices: takes a batch, returns its mean loss."""

    def replica_step(inputs, target):
        with tf.GradientTape() as tape:
            output = network(list(inputs), training=True)
            # Devices add their gradients up, so each takes its share of the mean.
            loss = tf.reduce_sum(example_losses(output, target, args.loss)) / args.batch_size
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, network.trainable_variables))
        return loss

    @tf.function
    def step(batch):
        losses = strategy.run(replica_step, args=batch)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    return step

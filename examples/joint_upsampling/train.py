"""The training loop: the same steps whether it is stopped and resumed or not."""

import csv
import io
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from examples import files
from examples.joint_upsampling import checkpoints, data
from examples.joint_upsampling.errors import UserError
from examples.joint_upsampling.evaluate import mean_error
from examples.joint_upsampling.networks import make_network

COLUMNS = ("step", "epoch", "learning_rate", "loss", "rmse", "validation", "seconds")


def train(args):
    """Run or resume the training that `args` describe; returns the path of the trained network."""
    out = Path(args.out)
    path = out / "checkpoint.npz"
    if path.exists() and not args.resume:
        raise UserError(f"{path} exists: --resume goes on with that run, another --out starts anew")
    strategy = make_strategy(args.devices, args.workers)
    if args.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch-size {args.batch_size} cannot be shared equally by "
            f"{strategy.num_replicas_in_sync} devices"
        )
    images = data.read_images(
        data.open_dataset(args, data.split_or_default(args)), in_file=args.cache == "file"
    )
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

    first_step = 0
    if path.exists():
        checkpoint = checkpoints.load_checkpoint(path)
        checkpoints.check_settings(path, checkpoint.settings, settings)
        checkpoints.restore(variables, checkpoint.variables, path)
        first_step = checkpoint.step
    is_chief = not args.workers or strategy.cluster_resolver.task_id == 0
    run = Run(args, network, variables, settings, steps, out, first_step, is_chief)
    print(
        f"{args.network} ×{args.factor}, {network.count_params():,} weights, {len(images)} images, "
        f"steps {first_step + 1} to {steps}, {strategy.num_replicas_in_sync} device(s)"
    )
    if first_step < steps:
        with checkpoints.clear_about_full_disk(
            f"The last checkpoint in {out} is whole: make room and go on with --resume."
        ):
            run.prepare_folder()
            run_steps(run, strategy, network, optimizer, sampler)
    return run.network_path


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
    """Everything that decides what the run computes; a checkpoint fits no other."""
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


def run_steps(run, strategy, network, optimizer, sampler):
    args = run.args
    batches = strategy.distribute_datasets_from_function(
        lambda context: data.batches(sampler, args.batch_size, run.step, run.steps, context)
    )
    step = make_step(args, strategy, network, optimizer)
    bar = keras.utils.Progbar(run.steps, stateful_metrics=["loss"])
    losses = []
    for batch in batches:
        losses.append(step(batch))
        run.step += 1
        if run.step % args.save_every == 0 or run.step == run.steps:
            loss = float(np.mean([float(value) for value in losses]))
            if not np.isfinite(loss):
                raise UserError(
                    f"The loss is {loss} before step {run.step}; the last checkpoint is from "
                    "before that. Try a smaller --learning-rate or --clip-norm 0.2"
                )
            run.report_and_save(loss, optimizer, len(sampler.images))
            losses.clear()
            bar.update(run.step, [("loss", loss)])
        elif run.step % 10 == 0:  # reading the loss makes a GPU wait
            bar.update(run.step, [("loss", float(losses[-1]))])


def write_scalar(name, value):
    """`tf.summary.scalar`, which would need TensorBoard here and not only where logs are read."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)


class Run:
    """The state of a training run, its logs and its checkpoint in the folder `out`."""

    def __init__(self, args, network, variables, settings, steps, out, step, is_chief):
        self.args, self.network, self.variables = args, network, variables
        self.settings, self.steps, self.step = settings, steps, step
        self.out, self.is_chief = out, is_chief
        self.network_path = out / "network.keras"
        self.start, self.first_step = time.monotonic(), step
        self.writer = None

    def prepare_folder(self):
        """Undo what a killed process wrote after its last checkpoint."""
        if not self.is_chief:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        for path in checkpoints.stale_files(self.out):
            path.unlink()
        rows, log = [], self.out / "log.csv"
        if self.step and log.exists():
            with open(log, newline="") as file:
                # A kill may have cut the last row off: it has no step or too large a one.
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
            rows = [row for row in rows if int(row[0]) <= self.step]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        with files.atomic_write(log) as file:
            file.write(text.getvalue().encode())
        self.writer = tf.summary.create_file_writer(str(self.out / "tensorboard"))

    def report_and_save(self, loss, optimizer, images):
        """A row in each log, then the checkpoint, then the network as it is."""
        validation = self._validate()
        if not self.is_chief:
            return
        values = {
            "epoch": self.step * self.args.batch_size / images,
            "learning_rate": float(optimizer.learning_rate),
            "loss": loss,
            # of targets in [0, 1]
            "rmse": loss**0.5 if self.args.loss == "l2" else "",
            "validation": "" if validation is None else validation,
            "seconds": round(time.monotonic() - self.start, 1),
        }
        with open(self.out / "log.csv", "a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([self.step, *values.values()])
        with self.writer.as_default(step=self.step):
            for name, value in values.items():
                if value != "":
                    write_scalar(name, value)
        self.writer.flush()
        variables = [v.numpy() for v in self.variables]
        checkpoint = checkpoints.Checkpoint(self.step, self.settings, variables)
        checkpoints.save_checkpoint(self.out / "checkpoint.npz", checkpoint)
        checkpoints.save_network(self.network_path, self.network)

    def _validate(self):
        args = self.args
        if args.validation is None or not self.is_chief:
            return None
        every = args.validate_every or self.steps
        if self.step % every and self.step != self.steps:
            return None
        examples = data.open_dataset(args, args.validation)
        return mean_error(self.network, examples, args.factor, args.low_res, args.border)

    def speed(self):
        return (self.step - self.first_step) / (time.monotonic() - self.start)

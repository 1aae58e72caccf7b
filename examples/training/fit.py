"""Keras's `fit` for a run that may be stopped at any moment: an epoch is `--save-every` steps."""

import math

import keras
import numpy as np

from examples.training.checkpoints import Checkpoint, restore, save_checkpoint, save_network
from examples.training.data import pipeline_errors
from examples.training.errors import UserError, full_disk_explained


def fit(network, batches, folder, args, settings, last, first=0, validate=None, advice=""):
    """Train a compiled network from the last checkpoint on, up to step `last` of the run.

    Args:
        network: a compiled `keras.Model`.
        batches: function of the number of steps done; returns the batches after them, endless.
        folder: the `RunFolder`.
        args: has `save_every` and `validate_every`.
        settings: dict of what decides the results of the run.
        last: the number of the last step.
        first: how many steps of the run came before those of this optimizer.
        validate: function without arguments that returns the measured number, or None.
        advice: what to try if the loss is no number.
    """
    network.optimizer.build(network.trainable_variables)
    weights, state = network.variables, network.optimizer.variables
    done = max(first, folder.step)
    if folder.step > first:
        restore([*weights, *state], folder.saved.variables, folder.checkpoint)
    elif folder.step == first > 0:
        restore(weights, folder.saved.variables[: len(weights)], folder.checkpoint)
    if done >= last:
        return
    # The epochs of each optimizer are numbered on, the last one before may have been shorter.
    epoch = math.ceil(first / args.save_every) + (done - first) // args.save_every
    every = args.validate_every or last
    callbacks = [
        LastStep(done, last),
        keras.callbacks.TerminateOnNaN(),
        Validation(validate, every, done - first, last - first),
    ]
    if folder.is_chief:
        folder.clean(epoch)
        callbacks += [
            keras.callbacks.CSVLogger(folder.log, append=True),
            keras.callbacks.TensorBoard(folder.tensorboard, write_graph=False),
            Save(folder, settings, done, advice),
        ]
    room = f"The last checkpoint in {folder.path} is whole: make room and go on with --resume."
    with full_disk_explained(room), pipeline_errors():
        network.fit(
            batches(done),
            initial_epoch=epoch,
            epochs=epoch + math.ceil((last - done) / args.save_every),
            steps_per_epoch=args.save_every,
            callbacks=callbacks,
            shuffle=False,  # the batches have their order
        )


class Steps(keras.callbacks.Callback):
    """Counts the steps of a run, of which `done` were done before."""

    def __init__(self, done):
        super().__init__()
        self.step = done

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1


class LastStep(Steps):
    """Ends a training after the step `last`, which may lie inside an epoch."""

    def __init__(self, done, last):
        super().__init__(done)
        self.last = last

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.model.stop_training |= self.step == self.last

    def on_epoch_end(self, epoch, logs=None):
        logs["step"] = self.step
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class Validation(Steps):
    """Logs what `validate` returns: every so many steps, and at the end; NaN in between."""

    def __init__(self, validate, every, done, last):
        super().__init__(done)
        self.validate, self.every, self.last = validate, every, last

    def on_epoch_end(self, epoch, logs=None):
        is_due = self.step % self.every == 0 or self.step == self.last
        logs["val_measured"] = self.validate() if self.validate and is_due else math.nan


class Save(Steps):
    """Saves the network, then the checkpoint with which a run goes on to the same bits.

    `keras.callbacks.BackupAndRestore` writes two files: a process that is killed between them
    goes on at the wrong step. `keras.callbacks.ModelCheckpoint` overwrites in place: a process
    that is killed, or a full disk, leaves a damaged network. Here each file is complete at any
    moment.
    """

    def __init__(self, folder, settings, done, advice):
        super().__init__(done)
        self.folder, self.settings, self.advice = folder, settings, advice

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise UserError(
                f"The loss is {logs['loss']} before step {self.step}; what was saved is from "
                f"before that. {self.advice}"
            )
        # The network first: with the checkpoint of its last step a run is over.
        save_network(self.folder.network, self.model)
        variables = [*self.model.variables, *self.model.optimizer.variables]
        arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
        save_checkpoint(self.folder.checkpoint, Checkpoint(self.step, self.settings, arrays))


def steps_left(step, last):
    """The words for what a run that is at `step` has to do."""
    return f"steps {step + 1} to {last}" if step < last else f"all {last} steps are done"


def check_validation(args):
    """Raise a UserError unless the network is measured where a row of the log is written."""
    if args.validate_every and args.validation is None:
        raise UserError("--validate-every needs --validation, the split to measure on")
    if args.validate_every and args.validate_every % args.save_every:
        raise UserError(
            f"--validate-every {args.validate_every} must be a multiple of "
            f"--save-every {args.save_every}"
        )

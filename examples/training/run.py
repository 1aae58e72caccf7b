"""A run of Keras's `fit` that may be killed at any moment and goes on to the same bits."""

import contextlib
import csv
import fcntl
import io
import json
import math
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from examples.files import atomic_write
from examples.training.data import pipeline_errors
from examples.training.errors import UserError, explained, full_disk_explained
from examples.training.networks import save_network

# The columns that the log of every run has.
LOGGED = {"epoch", "learning_rate", "loss", "step", "val_measured"}


class Run:
    """The folder of a run, and what `fit` needs to go on with it.

    An epoch of `fit` is `--save-every` steps. At its end the network is written to the folder, and
    a checkpoint: the step, the settings, the variables of the network and of the optimizer. The
    data is a function of the step.

    Args:
        args: the options of the command line.
        is_chief: whether this process writes the files; one of several does.
    """

    def __init__(self, args, is_chief=True):
        if args.validate_every and args.validation is None:
            raise UserError("--validate-every needs --validation, the split to measure on")
        if args.validate_every and args.validate_every % args.save_every:
            raise UserError(
                f"--validate-every {args.validate_every} must be a multiple of "
                f"--save-every {args.save_every}"
            )
        self.args, self.is_chief, self.folder = args, is_chief, Path(args.out)
        self.network, self.checkpoint, self.log = (
            self.folder / name for name in ("network.keras", "checkpoint.npz", "log.csv")
        )
        self.step, self.epoch, self.saved_settings, self.saved_variables = 0, 0, None, None
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"--out {self.folder} is no folder")
        for path in (self.checkpoint, self.network):
            if path.exists() and not args.resume:
                raise UserError(
                    f"{path} exists: --resume goes on with that run, another --out starts anew"
                )
        if self.checkpoint.exists():
            header, self.saved_variables = read_checkpoint(self.checkpoint)
            self.step, self.epoch = header["step"], header["epoch"]
            self.saved_settings = header["settings"]

    def plan(self, steps, settings):
        """Set the last step and what decides the results; refuse the checkpoint of another run."""
        self.last, self.settings = steps, {**settings, "steps": steps}
        if self.saved_settings is None:
            return
        saved = self.saved_settings
        differences = [
            f"{name} is {saved.get(name, 'missing')!r} there and "
            f"{self.settings.get(name, 'missing')!r} here"
            for name in self.settings | saved
            if saved.get(name) != self.settings.get(name)
        ]
        if differences:
            raise UserError(
                f"{self.checkpoint} belongs to another run: {'; '.join(differences)}. "
                "Use the same settings, or another --out"
            )

    @property
    def steps_left(self):
        """The words for what is to do."""
        if self.step < self.last:
            return f"steps {self.step + 1} to {self.last}"
        return f"all {self.last} steps are done"

    def restore(self, network):
        """Give a compiled network and its optimizer the values of the checkpoint, if any."""
        network.optimizer.build(network.trainable_variables)
        if self.saved_variables is None:
            return
        variables = variables_of(network)
        if [tuple(v.shape) for v in variables] != [a.shape for a in self.saved_variables]:
            raise UserError(f"{self.checkpoint} has other variables than the network")
        for variable, array in zip(variables, self.saved_variables):
            variable.assign(array)
        self.saved_variables = None  # they may take as much memory as the network

    def epochs(self):
        """The arguments of `fit` for the steps that are left; the last epoch may be shorter."""
        left, every = self.last - self.step, self.args.save_every
        return {
            "initial_epoch": self.epoch,
            "epochs": self.epoch + math.ceil(left / every),
            "steps_per_epoch": max(1, min(left, every)),
            "shuffle": False,  # the batches have their order
        }

    def callbacks(self, measure=None, advice=""):
        """The callbacks of `fit`.

        Args:
            measure: function without arguments that returns the number of a validation, or None.
            advice: what to try if the loss is no number.
        """
        callbacks = [Progress(self, measure), keras.callbacks.TerminateOnNaN()]
        if self.is_chief:
            self._clean()
            callbacks += [
                keras.callbacks.CSVLogger(self.log, append=True),
                keras.callbacks.TensorBoard(self.folder / "tensorboard", write_graph=False),
                Save(self, advice),
            ]
        return callbacks

    @contextlib.contextmanager
    def errors_explained(self):
        """Turn what stops a training into a UserError; keep other processes out of the folder."""
        room = f"What {self.folder} has is whole: make room and go on with --resume."
        with full_disk_explained(room), pipeline_errors(), self._alone():
            yield

    @contextlib.contextmanager
    def _alone(self):
        if not self.is_chief:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"Another process is training in {self.folder}") from None
            yield
        finally:
            os.close(descriptor)

    def finish(self, network):
        """Return the path of the trained network, which is written anew if it was lost."""
        if self.is_chief and not zipfile.is_zipfile(self.network):
            save_network(self.network, network)
        return self.network

    def _clean(self):
        """Remove what a killed process has written after its last checkpoint."""
        names = (f".{path.name}.*.partial" for path in (self.checkpoint, self.log))
        for pattern in (*names, ".*.partial.keras"):
            for path in self.folder.glob(pattern):
                path.unlink()
        if not self.log.exists():
            return
        text = io.StringIO(newline="")
        with explained(f"{self.log} is no log of a run: ", ValueError, csv.Error):
            with open(self.log, newline="") as file:
                rows = csv.DictReader(file)
                columns = rows.fieldnames or []
                if columns and not LOGGED <= {*columns}:
                    raise ValueError(f"it has the columns {columns}")
                # The last row may be written in part: it lacks values then.
                whole = [row for row in rows if None not in row.values()]
            kept = [row for row in whole if int(row["step"]) <= self.step]
            if kept:
                writer = csv.DictWriter(text, columns)
                writer.writeheader()
                writer.writerows(kept)
        with atomic_write(self.log) as file:
            file.write(text.getvalue().encode())


class Progress(keras.callbacks.Callback):
    """Counts the steps of a run, ends it after the last one, and measures the network.

    Keras measures at the end of an epoch only on batches, not on images of all sizes.
    """

    def __init__(self, run, measure):
        super().__init__()
        self.run, self.measure = run, measure

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.run.step

    def on_train_batch_end(self, batch, logs=None):
        self.run.step += 1
        self.model.stop_training |= self.run.step == self.run.last

    def on_epoch_end(self, epoch, logs=None):
        step, every = self.run.step, self.run.args.validate_every or self.run.last
        # An epoch of a run that was resumed with another --save-every may end behind the multiple.
        is_due = step // every > self.before // every or step == self.run.last
        logs["step"] = step
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        # NaN where nothing is measured: CSVLogger adds columns of its own where no name has `val_`.
        logs["val_measured"] = self.measure() if self.measure and is_due else math.nan


class Save(keras.callbacks.Callback):
    """Saves the network, then the checkpoint.

    `keras.callbacks.BackupAndRestore` writes two files: a process that is killed between them
    goes on at the wrong step. `keras.callbacks.ModelCheckpoint` overwrites in place: a process
    that is killed, or a full disk, leaves a damaged network. Here each file is complete at any
    moment.
    """

    def __init__(self, run, advice):
        super().__init__()
        self.run, self.advice = run, advice

    def on_epoch_end(self, epoch, logs=None):
        run = self.run
        values = [np.asarray(variable) for variable in variables_of(self.model)]
        if not (np.isfinite(logs["loss"]) and all(np.isfinite(value).all() for value in values)):
            raise UserError(
                f"The loss or the weights are no numbers after step {run.step} (the loss is "
                f"{logs['loss']}). If there is a checkpoint of an earlier step, it may be of a "
                f"training that was already failing. {self.advice}, and another --out"
            )
        # The network first: with the checkpoint of its last step a run is over.
        save_network(run.network, self.model)
        header = {"step": run.step, "epoch": epoch + 1, "settings": run.settings}
        write_checkpoint(run.checkpoint, header, values)


def variables_of(network):
    return [*network.variables, *network.optimizer.variables]


def write_checkpoint(path, header, values):
    """Write the checkpoint; a kill at any moment leaves the old one or the new one."""
    with atomic_write(path) as file:
        np.savez(file, np.frombuffer(json.dumps(header).encode(), np.uint8), *values)


def read_checkpoint(path):
    """The header and the values of the variables; checksums show a damaged file."""
    kinds = OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile
    with explained(f"{path} is no checkpoint that can be read: ", *kinds):
        with np.load(path, allow_pickle=False) as arrays:
            header, *values = (arrays[f"arr_{i}"] for i in range(len(arrays.files)))
        return json.loads(header.tobytes()), values

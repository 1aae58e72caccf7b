"""The folder of a training run: its logs, its checkpoint and its network."""

import csv
import io
import time
from pathlib import Path

import tensorflow as tf

from examples import files
from examples.training import checkpoints
from examples.training.errors import UserError


class RunFolder:
    """Writes and reads the files of one run; the log has the step, `columns` and the seconds.

    A new run must not overwrite another one: a folder with a checkpoint needs `resume`.
    """

    def __init__(self, folder, columns, resume):
        self.folder = Path(folder)
        self.columns = ("step", *columns, "seconds")
        self.checkpoint = self.folder / "checkpoint.npz"
        self.network = self.folder / "network.keras"
        self.start = time.monotonic()
        self.writer = None
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"--out {self.folder} is no folder")
        if self.checkpoint.exists() and not resume:
            raise UserError(
                f"{self.checkpoint} exists: --resume goes on with that run, another --out starts "
                "anew"
            )

    def restore(self, variables, settings):
        """Load the checkpoint, if there is one, into the variables; return its step, else 0."""
        if not self.checkpoint.exists():
            return 0
        checkpoint = checkpoints.load_checkpoint(self.checkpoint)
        checkpoints.check_settings(self.checkpoint, checkpoint.settings, settings)
        checkpoints.restore(variables, checkpoint.variables, self.checkpoint)
        return checkpoint.step

    def prepare(self, step):
        """Remove what a killed process wrote after its last checkpoint, that of `step`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in checkpoints.stale_files(self.folder):
            path.unlink()
        rows, log = [], self.folder / "log.csv"
        if step and log.exists():
            with open(log, newline="") as file:
                # A killed process may have written a part of its last row.
                rows = [row for row in csv.reader(file) if len(row) == len(self.columns)][1:]
            rows = [row for row in rows if int(row[0]) <= step]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([self.columns, *rows])
        with files.atomic_write(log) as file:
            file.write(text.getvalue().encode())
        self.writer = tf.summary.create_file_writer(str(self.folder / "tensorboard"))

    def log(self, step, **values):
        """A row in the CSV file and in TensorBoard; a value of None is left out."""
        values["seconds"] = round(time.monotonic() - self.start, 1)
        row = [step, *(values[name] for name in self.columns[1:])]
        with open(self.folder / "log.csv", "a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(["" if v is None else v for v in row])
        with self.writer.as_default(step=step):
            for name, value in values.items():
                if value is not None:
                    _write_scalar(name, value)
        self.writer.flush()

    def save(self, step, settings, variables, network):
        """Save the network first: a run does nothing more once its last checkpoint exists."""
        checkpoints.save_network(self.network, network)
        arrays = [variable.numpy() for variable in variables]
        checkpoints.save_checkpoint(self.checkpoint, checkpoints.Checkpoint(step, settings, arrays))


def _write_scalar(name, value):
    """Write what `tf.summary.scalar` writes; that function needs TensorBoard to be installed."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)

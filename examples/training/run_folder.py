"""The folder of a training run: its logs, its checkpoint and its network."""

import csv
import io
from pathlib import Path

from examples import files
from examples.training import checkpoints
from examples.training.errors import UserError


class RunFolder:
    """The files of one run.

    A new run must not overwrite another one: a folder with a checkpoint needs `resume`.
    """

    def __init__(self, path, resume, is_chief=True):
        self.path, self.is_chief = Path(path), is_chief
        self.checkpoint = self.path / "checkpoint.npz"
        self.network = self.path / "network.keras"
        self.log = self.path / "log.csv"
        self.tensorboard = self.path / "tensorboard"
        self.saved = None
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is no folder")
        if self.checkpoint.exists():
            if not resume:
                raise UserError(
                    f"{self.checkpoint} exists: --resume goes on with that run, another --out "
                    "starts anew"
                )
            self.saved = checkpoints.load_checkpoint(self.checkpoint)

    @property
    def step(self):
        """The step of the checkpoint."""
        return 0 if self.saved is None else self.saved.step

    def check_settings(self, settings):
        """Raise a UserError if the checkpoint is one of another run."""
        if self.saved is not None:
            checkpoints.check_settings(self.checkpoint, self.saved.settings, settings)

    def clean(self, epoch):
        """Remove what a killed process wrote after its last checkpoint: the epochs from here on."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in checkpoints.stale_files(self.path):
            path.unlink()
        if not self.log.exists():
            return
        with open(self.log, newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        # A killed process may have written a part of its last row.
        rows = [row for row in rows if len(row) == len(header) and int(row[0]) < epoch]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([header, *rows] if rows else [])
        with files.atomic_write(self.log) as file:
            file.write(text.getvalue().encode())

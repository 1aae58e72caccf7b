"""What the command lines of the programs have in common."""

import argparse
import contextlib
import importlib
import math
import os
import zlib
from pathlib import Path

from examples.training.errors import UserError, full_disk_explained

# Options that do not decide what a run computes, or that do so through its number of steps or
# through the fingerprint of its images.
NO_SETTINGS = set(
    "program command out resume save_every validation validate_every devices workers epochs steps "
    "data manual_dir data_dir split default_split images targets labels unknown target_scale "
    "render_pass ignore border tile".split()
)
# Options that may name a file, whose content decides.
FILES = ("start", "initial_weights", "weights")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every option that has one."""

    def _get_help_string(self, action):
        without = action.default in (None, []) or isinstance(action.default, bool)
        return action.help if without else super()._get_help_string(action)


def make_parser(program, description, commands):
    """The parser of `python -m program`; `commands` are {name: (add_options, purpose)}."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(program=program)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (add_options, purpose) in commands.items():
        add_options(subparsers.add_parser(name, help=purpose, formatter_class=HelpFormatter))
    return parser


def add_data_options(parser, data, manual_dir):
    """Add a group with what every data set needs; return its `add_argument`, for more options.

    `data` and `manual_dir` are the help texts of these options.
    """
    add = parser.add_argument_group("data").add_argument
    add("--data", required=True, help=data)
    add("--manual-dir", metavar="DIR", help=manual_dir)
    prepared = "outputs/datasets"
    add("--data-dir", metavar="DIR", default=prepared, help="where prepared data sets are kept")
    return add


def add_run_options(parser, save_every, measure):
    """Add the options of where a training leaves its files, and how often."""
    add = parser.add_argument_group("run").add_argument
    files = "folder of the run: checkpoint, logs, network.keras"
    add("--out", required=True, metavar="DIR", help=files)
    add("--resume", action="store_true", help="go on with the run in --out if there is one")
    rows = "steps between checkpoints and log rows"
    add("--save-every", type=positive, default=save_every, metavar="N", help=rows)
    add("--validation", metavar="SPLIT", help=f"also measure the {measure} of a split")
    every = "steps, a multiple of --save-every (only at the end)"
    add("--validate-every", type=positive, metavar="N", help=every)
    seed = "decides weights, order, crops and flips"
    add("--seed", type=seed_number, default=0, metavar="N", help=seed)


def add_report_options(parser, numbers, pictures):
    """Add the options of what an evaluation writes; `numbers` and `pictures` are help texts."""
    add = parser.add_argument
    add("--json", metavar="FILE", help=numbers)
    add("--pictures", metavar="DIR", help=pictures)
    add("--picture-count", type=natural, default=10, metavar="N", help="of how many images")


def settings_of(args, examples):
    """Everything that decides what a run computes, as JSON keeps it; files by their content."""
    settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
    for name in FILES:
        value = settings.get(name)
        if value and Path(value).is_file():
            settings[name] = f"a file with checksum {zlib.crc32(Path(value).read_bytes()):08x}"
    return {**settings, "images": examples.count, "data set": examples.fingerprint}


def natural(text):
    return _integer(text, 0)


def positive(text):
    return _integer(text, 1)


def seed_number(text):
    return _integer(text, 0, 2**32 - 1)  # NumPy takes no larger one


def number(text):
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{value} is no finite number")
    return value


def positive_number(text):
    value = float(text)
    if not 1e-37 < value < 1e37:
        raise argparse.ArgumentTypeError(f"{value} is no positive number that float32 can hold")
    return value


def _integer(text, least, most=math.inf):
    value = int(text)
    if not least <= value <= most:
        limit = f"less than {least}" if value < least else f"more than {most}"
        raise argparse.ArgumentTypeError(f"{value} is {limit}")
    return value


def run_command(args):
    """Run the command: the function of its name, in the module of its name."""
    # Imported only now, since TensorFlow takes seconds and --help should not wait for it.
    module = importlib.import_module(f"{args.program}.{args.command}")
    result = getattr(module, args.command)(args)
    if args.command == "train":
        print(f"trained: {result}")


def run_program(args):
    """Run the command; errors that the user can fix end it with a message, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with ended_with_a_message():
        if args.command == "train":
            make_repeatable()
        run_command(args)


@contextlib.contextmanager
def ended_with_a_message(stopped="a training goes on from its last checkpoint with --resume"):
    """Turn errors that the user can fix into the end of the program.

    `stopped` is what a user who interrupts it should know.
    """
    try:
        with full_disk_explained("Make room and start again."):
            yield
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    except OSError as error:
        if error.filename is None:
            raise
        raise SystemExit(f"error: {error.filename}: {error.strerror}") from None
    except KeyboardInterrupt:
        raise SystemExit(f"stopped; {stopped}") from None


def make_repeatable():
    """Let a resumed run end with the same bits; on a GPU that would cost too much time."""
    import tensorflow as tf  # takes seconds, and --help should not wait for it

    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()

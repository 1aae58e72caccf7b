"""What the command lines of the programs have in common."""

import argparse
import errno
import importlib
import math
import os

from examples.training.errors import UserError


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
    add(
        "--data-dir",
        metavar="DIR",
        default="outputs/datasets",
        help="where prepared data sets are kept",
    )
    return add


def add_run_options(parser, save_every, measure):
    """Add the options of where a training leaves its files, and how often."""
    add = parser.add_argument_group("run").add_argument
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the run: checkpoint, logs, network.keras",
    )
    add("--resume", action="store_true", help="go on with the run in --out if there is one")
    add(
        "--save-every",
        type=positive,
        default=save_every,
        metavar="N",
        help="steps between checkpoints and log rows",
    )
    add("--validation", metavar="SPLIT", help=f"also measure the {measure} of a split")
    add(
        "--validate-every",
        type=positive,
        metavar="N",
        help="steps, a multiple of --save-every (only at the end)",
    )
    add(
        "--cache",
        choices=("memory", "none"),
        help="keep decoded images in memory, or read them anew in every epoch (memory where all "
        "take less than 1 GB)",
    )
    add(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="decides weights, order, crops and flips",
    )


def add_report_options(parser, numbers, pictures):
    """Add the options of what an evaluation writes; `numbers` and `pictures` are help texts."""
    add = parser.add_argument
    add("--json", metavar="FILE", help=numbers)
    add("--pictures", metavar="DIR", help=pictures)
    add("--picture-count", type=natural, default=10, metavar="N", help="of how many images")


def run_command(args):
    """Run the command: the function of its name, in the module of its name."""
    # Imported only now, since TensorFlow takes seconds and --help should not wait for it.
    module = importlib.import_module(f"{args.program}.{args.command}")
    result = getattr(module, args.command)(args)
    if args.command == "train":
        print(f"trained: {result}")


def natural(text):
    return _integer(text, 0)


def positive(text):
    return _integer(text, 1)


def positive_number(text):
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is no positive number")
    return value


def _integer(text, least):
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def run_program(args):
    """Run the command; errors that the user can fix end it with a message, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        if args.command == "train":
            make_repeatable()
        run_command(args)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SystemExit(f"error: No space is left on the disk: {error}") from None
        if error.filename is None:
            raise
        raise SystemExit(f"error: {error.filename}: {error.strerror}") from None
    except KeyboardInterrupt:
        message = "stopped; a training goes on from its last checkpoint with --resume"
        raise SystemExit(message) from None


def make_repeatable():
    """Let a resumed run end with the same bits; on a GPU that would cost too much time."""
    import tensorflow as tf  # takes seconds, and --help should not wait for it

    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()

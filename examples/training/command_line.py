"""What the command lines of the programs have in common."""

import argparse
import errno
import importlib
import math
import os

from examples.training.errors import UserError


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that there are."""

    def _get_help_string(self, action):
        without = action.default in (None, [], False, True)
        return action.help if without else super()._get_help_string(action)


def make_parser(program, description, commands):
    """The parser of `python -m program`; `commands` are {name: (add_options, purpose)}."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (add_options, purpose) in commands.items():
        add_options(subparsers.add_parser(name, help=purpose, formatter_class=HelpFormatter))
    return parser


def run_command(program, args):
    """Call the function of the command, which its module has the name of."""
    # It is imported here, so that --help is there at once.
    command = importlib.import_module(f"{program}.{args.command}")
    if args.command == "train":
        print(f"trained: {command.train(args)}")
    else:
        getattr(command, args.command)(args)


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


def run_program(run, args):
    """Call `run(args)`; what the person can put right ends it with a message, no traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        if args.command == "train":
            make_repeatable()
        run(args)
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
    import tensorflow as tf  # takes seconds, which --help does not need

    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()

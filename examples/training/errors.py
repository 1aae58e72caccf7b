"""Errors that end a program with a message instead of a traceback."""

import contextlib
import errno


class UserError(Exception):
    """An error that the user can fix."""


@contextlib.contextmanager
def explained(what, *kinds):
    """Turn an exception of one of the `kinds` into a UserError whose message starts with `what`."""
    try:
        yield
    except kinds as error:
        raise UserError(f"{what}{error}") from error


@contextlib.contextmanager
def full_disk_explained(consequence):
    """Turn the exception of a full disk into a UserError that says what follows from it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"No space is left on the disk. {consequence}") from error

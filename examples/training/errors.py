"""Errors that end a program with a message instead of a traceback."""

import contextlib
import errno
import os

FULL_DISK = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


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
    """Turn the exception of a full disk into a UserError that says what follows from it.

    TensorFlow and tfds have exceptions of their own for it; the words are always the system's.
    """
    try:
        yield
    except Exception as error:
        if not any(words in str(error) for words in FULL_DISK):
            raise
        raise UserError(f"No space is left on the disk. {consequence}") from error

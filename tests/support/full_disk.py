"""A disk that is full at a certain moment."""

import errno


def full_on_call(number, write):
    """`write`, which fails as on a full disk when it is called for the `number`th time."""
    calls = []

    def write_or_fail(file, *arrays):
        calls.append(file)
        if len(calls) == number:
            file.write(b"the first part")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, *arrays)

    return write_or_fail

"""Where decoded images are while a training reads them."""

import tempfile

import numpy as np


def storage(in_file):
    """A function that takes an array and returns it, kept in memory or in a temporary file.

    The system keeps the file in memory or not, as there is room.
    """
    if not in_file:
        return lambda array: array
    file = tempfile.TemporaryFile()  # has no name, so nothing is left when the process ends

    def keep(array):
        start = file.seek(0, 2)
        file.write(np.ascontiguousarray(array))
        file.flush()
        return np.memmap(file, array.dtype, "r", start, array.shape)

    return keep

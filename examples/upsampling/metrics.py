"""The errors of upsampling; pixels of unknown truth don't count.

Arrays are NumPy, (rows, cols, channels).
"""

import numpy as np

from examples.files import mark_unknown_flow


def rmse(prediction, truth):
    """Root of the mean over pixels of the squared error."""
    return float(np.sqrt(_squared_errors(prediction, truth).mean()))


def epe(prediction, truth):
    """End-point error: the mean length of the error of a flow."""
    squared = _squared_errors(prediction, mark_unknown_flow(truth))
    return float(np.sqrt(squared).mean())


def _squared_errors(prediction, truth):
    """Summed over channels, of the pixels whose truth is known."""
    squared = ((prediction.astype(np.float64) - truth) ** 2).sum(-1)
    return squared[np.isfinite(truth).all(-1)]

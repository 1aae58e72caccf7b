"""The errors of upsampling. Arrays are NumPy, (rows, cols, channels)."""

import numpy as np

FLOW_LIMIT = 1e7  # a longer flow vector marks an unknown pixel


def rmse(prediction, truth):
    """Root of the mean over pixels of the squared error; pixels of non-finite truth don't count."""
    return float(np.sqrt(_squared_errors(prediction, truth).mean()))


def epe(prediction, truth):
    """Mean length of the error of a flow; pixels of unknown truth don't count."""
    truth = np.where(np.abs(truth) > FLOW_LIMIT, np.nan, truth)
    return float(np.sqrt(_squared_errors(prediction, truth)).mean())


def _squared_errors(prediction, truth):
    """Summed over channels, of the pixels whose truth is known."""
    squared = ((prediction.astype(np.float64) - truth) ** 2).sum(-1)
    return squared[np.isfinite(truth).all(-1)]

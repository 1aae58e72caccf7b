"""The photograph: the motorcycle of the Middlebury 2014 stereo pictures, as scikit-image has it."""

import numpy as np
from skimage.data import stereo_motorcycle


def load_motorcycle(factor):
    """The left image (uint8) and its float32 disparity, NaN where unknown.

    Cropped at the bottom and on the right to sizes that `factor` divides.
    """
    image, _, disparity = stereo_motorcycle()
    rows, cols = (size - size % factor for size in disparity.shape)
    disparity = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
    return image[:rows, :cols], disparity[:rows, :cols, None]

"""The joint upsampling network with fewer filters."""

import keras

from keras_pac.models.pac_joint_upsample import Filters, PacJointUpsample

FILTERS = {
    4: Filters(target=(12, 16, 22), guide=(12, 22, 24), pac=(12, 16), fusion=(22, 1)),
    8: Filters(target=(12, 16, 16), guide=(12, 16, 36), pac=(12, 16, 16), fusion=(20, 1)),
    16: Filters(target=(8, 16, 16), guide=(8, 16, 40), pac=(8, 16, 16, 16), fusion=(16, 1)),
}


@keras.saving.register_keras_serializable("keras_pac")
class PacJointUpsampleLite(PacJointUpsample):
    """`PacJointUpsample` with fewer filters: about as many weights as `DJIF`.

    The adapting kernels are computed from slices of 12 guide features (10 for `factor=16`).

    Args:
        factor: int, 4, 8 or 16. How many times larger the result is than the target, in height
            and in width.
        **kwargs: `name`, `trainable` and `dtype` of a `keras.Model`.

    Input shape:
        As for `PacJointUpsample`.

    Output shape:
        As for `PacJointUpsample`.

    Returns:
        A `keras.Model`, called as `model([target_low, guide])`.

    Raises:
        ValueError: if `factor` is not 4, 8 or 16, or, when called, if the sizes of the target and
            the guide do not fit.

    Example:
        >>> from keras_pac.models import PacJointUpsampleLite
        >>> [PacJointUpsampleLite(factor).count_params() for factor in (4, 8, 16)]
        [55509, 56273, 55777]

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.1.
    """

    def _filters(self):
        if self.factor not in FILTERS:
            raise ValueError(f"`factor` must be 4, 8 or 16. Received: factor={self.factor}")
        return FILTERS[self.factor]

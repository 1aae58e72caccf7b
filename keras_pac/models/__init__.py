"""Networks made of the layers, and functions that put the layers into existing networks."""

from keras_pac.models.djif import DJIF
from keras_pac.models.fcn8s import FCN8s
from keras_pac.models.joint_bilateral_upsample import JointBilateralUpsample
from keras_pac.models.learned_bilateral_upsample import LearnedBilateralUpsample
from keras_pac.models.pac_joint_upsample import PacJointUpsample
from keras_pac.models.pac_joint_upsample_lite import PacJointUpsampleLite
from keras_pac.models.refine import refine
from keras_pac.models.swap_conv2d import swap_conv2d
from keras_pac.models.upsample import upsample
from keras_pac.models.with_pac_crf import with_pac_crf

__all__ = [
    "DJIF",
    "FCN8s",
    "JointBilateralUpsample",
    "LearnedBilateralUpsample",
    "PacJointUpsample",
    "PacJointUpsampleLite",
    "refine",
    "swap_conv2d",
    "upsample",
    "with_pac_crf",
]

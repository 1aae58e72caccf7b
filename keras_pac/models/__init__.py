"""Networks built from the layers: joint upsampling."""

from keras_pac.models.djif import DJIF
from keras_pac.models.joint_bilateral_upsample import JointBilateralUpsample
from keras_pac.models.pac_joint_upsample import PacJointUpsample
from keras_pac.models.pac_joint_upsample_lite import PacJointUpsampleLite

__all__ = ["DJIF", "JointBilateralUpsample", "PacJointUpsample", "PacJointUpsampleLite"]

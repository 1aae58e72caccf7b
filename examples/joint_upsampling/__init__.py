"""Joint upsampling of depth and optical flow: `python -m examples.joint_upsampling --help`."""

"""Joint upsampling of disparity ×4 in minutes: `python -m examples.demo`."""

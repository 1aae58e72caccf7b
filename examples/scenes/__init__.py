"""A data set of drawn scenes: colour images with their disparity."""

from examples.scenes.pac_scenes import PacScenes

__all__ = ["PacScenes"]

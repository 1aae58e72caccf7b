"""Sizes, positions and layouts of windows and images. Nothing here depends on an implementation."""

"""Sizes, positions and layouts of windows and images; knows nothing of how a sum is computed."""

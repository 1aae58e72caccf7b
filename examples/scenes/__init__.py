"""Draws scenes: colour images with their disparity."""

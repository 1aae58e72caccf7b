"""Drives the core alone, without TensorFlow, and checks it against a reference in NumPy."""

"""Builds the core alone (`python -m custom_ops.build.core`); `python -m keras_pac.build` the op."""

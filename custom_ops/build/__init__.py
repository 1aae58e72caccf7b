"""Builds the compiled op (`python -m custom_ops.build`), or its core alone (`….build.core`)."""

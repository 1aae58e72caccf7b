"""The public functions, on every implementation."""

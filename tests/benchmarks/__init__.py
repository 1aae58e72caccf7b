"""The benchmark programs."""

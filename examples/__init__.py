"""Example programs that use the layers; run them from the repository root."""

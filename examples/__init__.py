"""Examples of what the layers are for; run them from the repository root."""

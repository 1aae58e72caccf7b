"""The core of the compiled op alone, through its C interface."""

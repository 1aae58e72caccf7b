"""The compiled op: sources in `core` and `tf`, and programs that build and check them."""

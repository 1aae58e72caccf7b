"""The compiled op, as TensorFlow sees it."""

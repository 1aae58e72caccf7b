"""Speed and memory of the layers, next to Keras's own. Run with `python -m benchmarks.run`."""

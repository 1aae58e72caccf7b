"""Speed and memory of the layers, next to Keras's own: `python -m benchmarks.run`.

Speed of the CRFs, next to a Full-CRF: `python -m benchmarks.crf`.
"""

"""Speed and memory, next to Keras's own layers; `make bench` runs all of it.

- `run`: the suite, and cases beside it with lower bounds
- `threads`, `small_calls`: several threads and models; the time around the kernels
- `crf`, `refinement`: next to a Full-CRF, and to PAMR as it is usually written
"""

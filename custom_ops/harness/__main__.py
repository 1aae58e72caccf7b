"""Checks a library of the core on random problems against the reference in NumPy.

    python -m custom_ops.harness --library libkeras_pac_core.so --device cpu
    python -m custom_ops.harness --library libkeras_pac_core.so --device cuda --speed
    python -m custom_ops.harness --library libkeras_pac_emulated.so --device emulated

Repeated runs have to be bitwise equal: with 1, 2 and 4 threads on a CPU, and in both orders of the
threads where CUDA is emulated. `cuda` takes PyTorch or CuPy; `--speed` takes PyTorch, and compares
with its convolutions.
"""

import argparse
import os
import sys

from custom_ops.harness.cases import check_cases
from custom_ops.harness.sizes import TYPES


def main():
    parser = argparse.ArgumentParser(
        prog="python -m custom_ops.harness", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--library", default="libkeras_pac_core.so", type=os.path.abspath)
    parser.add_argument("--device", choices=("cpu", "cuda", "emulated"), default="cpu")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    failed = check_cases(
        options.library, options.device, options.cases, options.seed, options.types
    )
    if options.speed:
        from custom_ops.harness.speed import print_speeds  # needs PyTorch

        print_speeds(options.library)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""Runs an exported network in a process that cannot import keras_pac.

python -I check_saved_model.py <SavedModel folder> <npz with target_low, guide, expected>
"""

import importlib
import sys

import numpy as np
import tensorflow as tf


def main(model_folder, arrays_file):
    sys.modules["keras_pac"] = None  # from here on importing it fails, installed or not
    try:
        importlib.import_module("keras_pac")
    except ImportError:
        pass
    else:
        raise SystemExit("keras_pac can be imported here: this would prove nothing")

    arrays = np.load(arrays_file)
    model = tf.saved_model.load(model_folder)
    output = model.serve([arrays["target_low"], arrays["guide"]]).numpy()
    difference = np.abs(output - arrays["expected"]).max()
    print(f"SavedModel without keras_pac: largest difference of the outputs {difference:.1e}")
    if not difference < 1e-4:  # targets are in [0, 1]; float32 sums in another order
        raise SystemExit("the exported network computes something else")


if __name__ == "__main__":
    main(*sys.argv[1:])

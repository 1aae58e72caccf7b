"""Read a PyTorch state dict without PyTorch."""

import collections
import pickle
import zipfile

import numpy as np


def read_state_dict(path):
    """Return {name: float32 array} of a `.pth` file in zip format.

    Such a file holds a pickle of the names and shapes, and one entry of raw numbers a tensor.
    """
    with zipfile.ZipFile(path) as file:
        (pickle_name,) = [name for name in file.namelist() if name.endswith("/data.pkl")]
        folder = pickle_name.removesuffix("/data.pkl")

        def storage(persistent_id):
            _, storage_type, key, _, _ = persistent_id
            assert storage_type == "float32"
            return np.frombuffer(file.read(f"{folder}/data/{key}"), "<f4")

        with file.open(pickle_name) as stream:
            return dict(_Unpickler(stream, storage).load())


class _Unpickler(pickle.Unpickler):
    """Knows what a state dict is made of, and refuses anything else."""

    def __init__(self, stream, storage):
        super().__init__(stream)
        self.persistent_load = storage

    def find_class(self, module, name):
        return {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch", "FloatStorage"): "float32",
        }[module, name]


def _tensor(storage, offset, shape, strides, *_):
    strides = [4 * stride for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides).copy()

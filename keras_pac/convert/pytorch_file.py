"""Reads the weights in a PyTorch file, without PyTorch and without running what is in the file.

`torch.save` writes a pickle of names, types and shapes, and beside it the raw numbers of every
tensor: as entries of a zip archive, or, before PyTorch 1.6, one after the other in one file. A
pickle may call anything that Python can import. Here it may call only what a state dict needs.
"""

import collections
import os
import pickle
import struct
import zipfile

import numpy as np

_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_state_dict(path):
    """Return {name: NumPy array} of a file that `torch.save` made of a state dict.

    Raises a ValueError that names the file if it is anything else, or not whole.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        try:
            is_zip = file.read(4) == b"PK\3\4"
            file.seek(0)
            entries = _read_zip(file) if is_zip else _read_legacy(file)
            return _checked_state_dict(entries)
        # A damaged pickle can raise nearly anything: EOFError, IndexError, UnicodeDecodeError ...
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path} is not a readable PyTorch state dict: {reason}") from error


def _read_zip(file):
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"the archive must have one data.pkl, it has {len(pickles)}")
        folder = pickles[0].removesuffix("/data.pkl")
        order = ">" if _entry(archive, f"{folder}/byteorder", b"little") == b"big" else "<"

        def storage(dtype, key, size):
            numbers = np.frombuffer(_entry(archive, f"{folder}/data/{key}"), dtype)
            if numbers.size != size:
                raise ValueError(f"storage {key} must have {size} numbers, it has {numbers.size}")
            return numbers

        with archive.open(_stored(archive, pickles[0])) as stream:
            return _Unpickler(stream, order, storage).load()


def _entry(archive, name, default=None):
    if default is not None and name not in archive.namelist():
        return default
    return archive.read(_stored(archive, name))


def _stored(archive, name):
    """PyTorch never compresses: a compressed entry could be a small file of huge content."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"the archive's {name} is compressed")
    return info


def _read_legacy(file):
    """Four pickles (magic number, version, system, state dict), the storages' keys, the numbers."""

    def load_plain():
        return _Unpickler(file, "<", None).load()

    if load_plain() != _LEGACY_MAGIC or load_plain() != _LEGACY_PROTOCOL:
        raise ValueError("it is neither a zip archive nor in PyTorch's older format")
    order = "<" if load_plain()["little_endian"] else ">"
    remaining = os.fstat(file.fileno()).st_size
    storages = {}

    def storage(dtype, key, size):
        # In the file, the tensors come before the numbers that they are views of.
        nonlocal remaining
        if key not in storages:
            remaining -= size * dtype.itemsize
            if remaining < 0:
                raise ValueError(f"storage {key} of {size} numbers does not fit into the file")
            storages[key] = np.empty(size, dtype)
        return storages[key]

    entries = _Unpickler(file, order, storage).load()
    for key in load_plain():
        numbers = storages.pop(key)
        (size,) = struct.unpack(f"{order}q", file.read(8))
        if size != numbers.size:
            raise ValueError(f"storage {key} must have {numbers.size} numbers, it has {size}")
        if file.readinto(memoryview(numbers).cast("B")) != numbers.nbytes:
            raise ValueError(f"it ends within storage {key}")
    if storages:
        raise ValueError(f"the numbers of storages {sorted(storages)} are missing")
    return entries


class _Unpickler(pickle.Unpickler):
    """Makes only the objects that a state dict needs; refuses any other, with its name.

    Args:
        file: file object to read from.
        order: str, the byte order of the numbers, "<" or ">".
        storage: function (dtype, key, size) -> one-dimensional array; None if the pickle has none.
    """

    def __init__(self, file, order, storage):
        super().__init__(file)
        self._order = order
        self._storage = storage

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: a pickle may change the attributes of what it is given.
            return lambda *arguments: _tensor(*arguments)
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no state dict needs")

    def persistent_load(self, persistent_id):
        kind, name, key, _, size, *view = persistent_id
        if kind != "storage" or name not in _TYPES or not _is_size(size):
            raise pickle.UnpicklingError(f"it has a storage of an unknown kind: {persistent_id}")
        if self._storage is None or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"it has a storage where none may be: {persistent_id}")
        return self._storage(np.dtype(self._order + _TYPES[name]), key, size)


def _tensor(storage, offset, shape, strides, *_):
    """A view of the storage, after a check that it stays inside.

    It is no copy, because with strides of 0 a small file could ask for a copy of any size.
    """
    if (
        not isinstance(storage, np.ndarray)
        or len(shape) != len(strides)
        or not all(map(_is_size, (offset, *shape, *strides)))
    ):
        raise pickle.UnpicklingError(f"a tensor of shape {shape}, strides {strides} is malformed")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
    if 0 not in shape and last >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} reaches beyond its numbers")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [stride * storage.itemsize for stride in strides], writeable=False
    )


def _is_size(value):
    return type(value) is int and value >= 0


def _checked_state_dict(entries):
    if not isinstance(entries, dict):
        raise ValueError(f"it holds a {type(entries).__name__} and no dictionary of tensors")
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ValueError(f"its entry {name!r} is a {type(value).__name__} and no tensor")
    return dict(entries)

"""Weights of the paper's authors; what the networks then compute is in models/test_models.py."""

import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_pac import models
from keras_pac.convert import load_pacnet_weights
from keras_pac.convert.pytorch_file import read_state_dict
from tests.support.paths import REFERENCE_MODELS as REFERENCE

DJIF = REFERENCE / "djif_x4.pth"


class Global:
    """Pickled as a global name, or as a call of it when there are arguments."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class Storage:
    """Pickled as PyTorch does a storage: by its place in the file, not its numbers."""

    def __init__(self, key, numbers, kind="FloatStorage", size=None):
        self.key, self.numbers, self.kind = key, np.asarray(numbers), kind
        self.size = self.numbers.size if size is None else size


class Pickler(pickle._Pickler):
    """Writes what a PyTorch file has in it; the C pickler would want to import it first."""

    def __init__(self, file, view=()):
        super().__init__(file, protocol=2)
        self.view = view  # the older format has one more part

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return (
                "storage",
                Global(f"torch {value.kind}"),
                value.key,
                "cpu",
                value.size,
                *self.view,
            )
        return None

    def save(self, value, save_persistent_id=True):
        if not isinstance(value, Global):
            return super().save(value, save_persistent_id)
        self.write(b"c" + value.name.replace(" ", "\n").encode() + b"\n")
        if value.arguments:
            super().save(value.arguments)
            self.write(b"R")


def tensor(storage, shape, strides=None, offset=0):
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    hooks = collections.OrderedDict()
    name = "torch._utils _rebuild_tensor_v2"
    return Global(name, storage, offset, tuple(shape), tuple(strides), False, hooks)


def write_zip(path, entries, storages, compression=zipfile.ZIP_STORED, order="little"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        with archive.open("weights/data.pkl", "w") as file:
            Pickler(file).dump(entries)
        archive.writestr("weights/byteorder", order)
        for storage in storages:
            archive.writestr(f"weights/data/{storage.key}", storage.numbers.tobytes())


def write_legacy(path, entries, storages):
    with open(path, "wb") as file:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        for part in (0x1950A86A20F9469CFC6C, 1001, system):
            Pickler(file).dump(part)
        Pickler(file, view=(None,)).dump(entries)
        Pickler(file).dump([storage.key for storage in storages])
        for storage in storages:
            file.write(struct.pack("<q", storage.numbers.size) + storage.numbers.tobytes())


WRITERS = [write_zip, write_legacy]


def state_of(path, changes=None):
    """The entries and storages of a reference file, some replaced, for the writers above."""
    arrays = {**read_state_dict(path), **(changes or {})}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    storages = [Storage(str(i), value.ravel()) for i, value in enumerate(arrays.values())]
    entries = collections.OrderedDict(
        (name, tensor(storage, arrays[name].shape)) for name, storage in zip(arrays, storages)
    )
    return entries, storages


def assert_refused(model, path, *messages):
    """Loading names the file and each message, and the model is as before."""
    before = model.get_weights()
    with pytest.raises(ValueError) as raised:
        load_pacnet_weights(model, path)
    for message in (path.name, *messages):
        assert message in str(raised.value)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("write", WRITERS)
def test_both_formats(write, tmp_path):
    path = tmp_path / "weights.pth"
    write(path, *state_of(DJIF))
    expected, actual = read_state_dict(DJIF), read_state_dict(path)
    assert list(actual) == list(expected) and len(actual) == 18
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)
    model = models.DJIF(4)
    load_pacnet_weights(model, str(path))
    np.testing.assert_array_equal(model.branch_t[0].bias, expected["branch_t.0.bias"])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_files_that_pytorch_writes(legacy, tmp_path):
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0).normal(size=(3, 4, 2))
    base = torch.tensor(numbers)
    state = collections.OrderedDict(
        double=base,
        single=base.float(),
        half=base.half(),
        strided=base[1:, ::2].transpose(0, 2),
        shared=base[2],
        scalar=torch.tensor(7),
        empty=torch.zeros(0, 3),
    )
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    actual = read_state_dict(path)
    assert list(actual) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(actual[name], value.numpy())
        assert actual[name].dtype == value.numpy().dtype


@pytest.mark.parametrize("kind, dtype", [("DoubleStorage", "<f8"), ("HalfStorage", "<f2")])
@pytest.mark.parametrize("write", WRITERS)
def test_types_and_strides(write, kind, dtype, tmp_path):
    numbers = np.arange(20, dtype=dtype)
    storage = Storage("0", numbers, kind)
    path = tmp_path / "weights.pth"
    write(path, {"a": tensor(storage, (3, 2), (2, 5), 4)}, [storage])
    expected = [[4, 9], [6, 11], [8, 13]]
    np.testing.assert_array_equal(read_state_dict(path)["a"], expected)


def test_other_byte_order(tmp_path):
    entries, storages = state_of(DJIF)
    for storage in storages:
        storage.numbers = storage.numbers.astype(">f4")
    path = tmp_path / "weights.pth"
    write_zip(path, entries, storages, order="big")
    model, expected = models.DJIF(4), models.DJIF(4)
    load_pacnet_weights(model, path)
    load_pacnet_weights(expected, DJIF)
    for value, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("write", WRITERS)
def test_every_entry_that_does_not_fit_is_named(write, tmp_path):
    changes = {
        "branch_t.2.bias": None,
        "branch_joint.4.weight": None,
        "branch_t.0.bias": np.zeros(95, "f4"),
        "branch_g.0.weight": np.zeros((96, 3, 7, 7), "f4"),
        "optimizer.step": np.zeros(1, "f4"),
        "branch_t.1.weight": np.zeros(3, "f4"),
    }
    path = tmp_path / "weights.pth"
    write(path, *state_of(DJIF, changes))
    assert_refused(
        models.DJIF(4),
        path,
        "missing: branch_t.2.bias (48,)",
        "missing: branch_joint.4.weight (1, 32, 5, 5)",
        "extra: optimizer.step",
        "extra: branch_t.1.weight",
        "branch_t.0.bias: must have shape (96,), has (95,)",
        "branch_g.0.weight: must have shape (96, 3, 9, 9), has (96, 3, 7, 7)",
    )


def test_weights_that_are_no_floats(tmp_path):
    entries, storages = state_of(DJIF)
    storages[1].kind, storages[1].numbers = "LongStorage", np.zeros(96, "<i8")
    path = tmp_path / "weights.pth"
    write_zip(path, entries, storages)
    message = "branch_t.0.bias: must have floating-point numbers, has int64"
    assert_refused(models.DJIF(4), path, message)


def test_the_file_of_another_network():
    messages = ("missing: branch_t.0.weight", "extra: up_convts.0.weight")
    assert_refused(models.DJIF(4), REFERENCE / "pac_x4.pth", *messages)
    message = "branch_t.conv1.bias: must have shape (12,), has (32,)"
    assert_refused(models.PacJointUpsampleLite(4), REFERENCE / "pac_x4.pth", message)


def test_joint_bilateral_upsampling_is_the_same_filter(tmp_path):
    load_pacnet_weights(models.JointBilateralUpsample(4, 5, 1.0, 1.0), REFERENCE / "jbu_x4.pth")
    other_size = models.JointBilateralUpsample(4, 7, 1.0, 1.0)
    message = "convt.weight: must have shape (1, 1, 7, 7), has (1, 1, 5, 5)"
    assert_refused(other_size, REFERENCE / "jbu_x4.pth", message)
    path = tmp_path / "weights.pth"
    changes = {"convt.weight": np.full((1, 1, 7, 7), 2, "f4")}
    write_zip(path, *state_of(REFERENCE / "jbu_x4.pth", changes))
    assert_refused(other_size, path, "convt.weight: must be a filter of ones")


def test_another_model():
    with pytest.raises(ValueError, match="`model` must be a PacJointUpsample"):
        load_pacnet_weights(object(), DJIF)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.pth"):
        load_pacnet_weights(models.DJIF(4), tmp_path / "nothing.pth")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "name, arguments",
    [
        (f"{os.system.__module__} system", ("touch executed",)),
        ("builtins eval", ("open('executed', 'w')",)),
        ("builtins getattr", ({}, "keys")),
        ("torch _utils", (1,)),
        ("numpy dtype", ("O",)),
    ],
)
def test_a_pickle_that_asks_for_more_than_tensors(write, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    write(path, {"a": Global(name, *arguments)}, [])
    assert_refused(models.DJIF(4), path, f"it asks for {name.replace(' ', '.')}")
    assert not (tmp_path / "executed").exists()


def test_a_plain_pickle_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    with open(path, "wb") as file:
        Pickler(file).dump(Global("builtins eval", "open('executed', 'w')"))
    assert_refused(models.DJIF(4), path, "builtins.eval")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "change",
    [
        {"shape": (21,), "strides": (1,)},
        {"shape": (5,), "strides": (5,)},
        {"shape": (20,), "strides": (1,), "offset": 1},
        {"shape": (2,), "strides": (-1,), "offset": 5},
        {"shape": (2,), "strides": (1,), "offset": -1},
        {"shape": (-3,), "strides": (1,)},
        {"shape": (2, 2), "strides": (1,)},
        {"shape": (2.0,), "strides": (1,)},
    ],
    ids=str,
)
def test_tensors_that_reach_beyond_their_numbers(write, change, tmp_path):
    storage = Storage("0", np.zeros(20, "f4"))
    path = tmp_path / "weights.pth"
    write(path, {"a": tensor(storage, **change)}, [storage])
    assert_refused(models.DJIF(4), path, "a tensor of shape")


def test_a_small_file_takes_little_memory(tmp_path):
    storage = Storage("0", np.zeros(1, "f4"))
    path = tmp_path / "weights.pth"
    huge = tensor(storage, (2**20, 2**20), (0, 0))
    write_zip(path, {"branch_t.0.bias": huge}, [storage])
    assert_refused(models.DJIF(4), path, "must have shape (96,), has (1048576, 1048576)")
    claims = Storage("0", np.zeros(1, "f4"), size=2**40)
    write_legacy(path, {"a": tensor(claims, (1,))}, [claims])
    assert_refused(models.DJIF(4), path, "does not fit into the file")
    write_zip(path, *state_of(DJIF), compression=zipfile.ZIP_DEFLATED)
    assert_refused(models.DJIF(4), path, "is compressed")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99, 0.99999])
def test_truncated_files(write, share, tmp_path):
    path = tmp_path / "weights.pth"
    write(path, *state_of(DJIF))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_refused(models.DJIF(4), path, "is not a readable PyTorch state dict")


def test_a_flipped_bit_is_noticed(tmp_path):
    content = bytearray(DJIF.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert_refused(models.DJIF(4), path, "is not a readable PyTorch state dict", "CRC")


@pytest.mark.parametrize("entries", [[1, 2], {"a": 3}, {"a": {}}, {1: 2}], ids=str)
@pytest.mark.parametrize("write", WRITERS)
def test_other_contents(write, entries, tmp_path):
    path = tmp_path / "weights.pth"
    write(path, entries, [])
    assert_refused(
        models.DJIF(4), path, "no dictionary of tensors" if entries == [1, 2] else "no tensor"
    )

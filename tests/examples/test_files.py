"""Reading and writing of images, depth and flow."""

import errno

import numpy as np
import pytest
from PIL import Image

from examples.files import (
    atomic_write,
    read_flow,
    read_image,
    read_target,
    write_depth,
    write_flow,
)


@pytest.fixture
def flow(rng):
    flow = rng.normal(size=(5, 7, 2)).astype("f4")
    flow[1, 2] = np.nan
    return flow


def assert_truncations_are_named(path, read, message="", bytes_that_may_miss=0):
    """Every kind of cut raises a ValueError with the file's name."""
    whole = path.read_bytes()
    for size in (0, 3, 10, len(whole) // 2, len(whole) - 1 - bytes_that_may_miss):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"{path.name}.*{message}"):
            read(path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images(mode, tmp_path, rng):
    path = tmp_path / "image.png"
    image = Image.fromarray(rng.integers(0, 256, (5, 7, 3), "u1")).convert(mode)
    image.save(path)
    result = read_image(path)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_images(suffix, tmp_path, rng):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), "u1")).save(path)
    # A PNG's last bytes are checksums and marks; the pixels are there without them.
    assert_truncations_are_named(path, read_image, bytes_that_may_miss=40)


def test_an_image_of_16_bits(tmp_path):
    write_depth(tmp_path / "depth.png", np.ones((2, 3)))
    with pytest.raises(ValueError, match="depth.png: an image must be 8-bit"):
        read_image(tmp_path / "depth.png")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_depth_in_a_png(dtype, tmp_path):
    stored = np.array([[0, 1, 200]], dtype) * (1 if dtype == "u1" else 300)
    path = tmp_path / "depth.png"
    Image.fromarray(stored).save(path)
    target = read_target(path)
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target, stored[..., None])
    target = read_target(path, unknown=0, scale=0.5)
    np.testing.assert_array_equal(target[0, :, 0], [np.nan, *(stored[0, 1:] * 0.5)])


def test_truncated_depth(tmp_path, rng):
    path = tmp_path / "depth.png"
    write_depth(path, rng.uniform(1, 9, (30, 40)))
    assert_truncations_are_named(path, read_target, bytes_that_may_miss=40)
    path = tmp_path / "depth.npy"
    write_depth(path, rng.uniform(1, 9, (30, 40)))
    assert_truncations_are_named(path, read_target)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2)])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u2", "i4"])
def test_target_in_a_npy(shape, dtype, tmp_path, rng):
    numbers = rng.integers(1, 100, shape).astype(dtype)
    np.save(tmp_path / "target.npy", numbers)
    target = read_target(tmp_path / "target.npy", scale=2)
    np.testing.assert_array_equal(target, 2.0 * numbers.reshape(3, 4, -1))


def test_numbers_that_are_not_finite_are_unknown(tmp_path):
    np.save(tmp_path / "flow.npy", [[[1.0, np.inf], [np.nan, 2], [3, 4]]])
    unknown = np.isnan(read_target(tmp_path / "flow.npy"))
    np.testing.assert_array_equal(unknown, [[[True] * 2, [True] * 2, [False] * 2]])


@pytest.mark.parametrize(
    "numbers, message",
    [
        (np.zeros((3, 4, 3)), r"shape must be .* it is \(3, 4, 3\)"),
        (np.zeros(3), "shape must be"),
        (np.zeros((0, 4)), "shape must be"),
        (np.zeros((3, 4), "c8"), "must be real"),
        (np.zeros((3, 4), bool), "must be real"),
        (np.array([[{}]]), "allow_pickle"),
    ],
)
def test_bad_npy(numbers, message, tmp_path):
    np.save(tmp_path / "target.npy", numbers, allow_pickle=True)
    with pytest.raises(ValueError, match=f"target.npy.*{message}"):
        read_target(tmp_path / "target.npy")


def test_depth_in_colour(tmp_path):
    Image.new("RGB", (3, 4)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match="depth.png: depth must be a grey PNG"):
        read_target(tmp_path / "depth.png")


def test_other_kinds_of_target(tmp_path, flow):
    (tmp_path / "depth.txt").touch()
    with pytest.raises(ValueError, match="depth.txt: a target must be one of"):
        read_target(tmp_path / "depth.txt")
    with pytest.raises(FileNotFoundError, match="depth.png"):
        read_target(tmp_path / "depth.png")
    write_flow(tmp_path / "a.flo", flow)
    with pytest.raises(ValueError, match="a.flo: `unknown` and `scale` are for PNG and .npy"):
        read_target(tmp_path / "a.flo", unknown=0)


def test_flow_and_back(tmp_path, flow):
    path = tmp_path / "a.flo"
    write_flow(path, flow)
    np.testing.assert_array_equal(read_flow(path), flow)
    np.testing.assert_array_equal(read_target(path), flow)
    content = path.read_bytes()
    assert content[:4] == b"PIEH" and len(content) == 12 + 8 * 5 * 7
    assert list(np.frombuffer(content, "<i4", 2, 4)) == [7, 5]
    assert np.nanmax(np.frombuffer(content, "<f4", offset=12)) == np.float32(1e10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -2e7, 1.7e9])
def test_unknown_flow(value, tmp_path):
    path = tmp_path / "a.flo"
    header = np.float32(202021.25).tobytes() + np.array([2, 1], "<i4").tobytes()
    path.write_bytes(header + np.array([value, 1, 9e6, 1], "<f4").tobytes())
    np.testing.assert_array_equal(read_flow(path), [[[np.nan, np.nan], [9e6, 1]]])


def test_bad_flow_files(tmp_path, flow):
    path = tmp_path / "a.flo"
    write_flow(path, flow)
    whole = path.read_bytes()
    path.write_bytes(b"JUNK" + whole[4:])
    with pytest.raises(ValueError, match="a.flo: it has the wrong magic number"):
        read_flow(path)
    path.write_bytes(whole[:4] + np.array([-7, 5], "<i4").tobytes() + whole[12:])
    with pytest.raises(ValueError, match="a.flo: it has the impossible size"):
        read_flow(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="a.flo: it is too long"):
        read_flow(path)
    path.write_bytes(whole)
    assert_truncations_are_named(path, read_flow, "truncated")
    with pytest.raises(ValueError, match="a.flo: flow must have shape"):
        write_flow(path, flow[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_depth_and_back(suffix, tmp_path, rng):
    path = tmp_path / f"depth{suffix}"
    depth = rng.uniform(0.5, 60, (5, 7, 1)).astype("f4")
    depth[2, 3] = np.nan
    write_depth(path, depth)
    result = read_target(path, **({"unknown": 0, "scale": 0.001} if suffix == ".png" else {}))
    np.testing.assert_allclose(result, depth, atol=0.000501 if suffix == ".png" else 0)


@pytest.mark.parametrize("depth", [[[70.0]], [[-1.0]]])
def test_depth_that_does_not_fit(depth, tmp_path):
    with pytest.raises(ValueError, match="depth.png: .* does not fit into 16 bits of 0.001"):
        write_depth(tmp_path / "depth.png", depth)
    assert not list(tmp_path.iterdir())


def test_bad_depth(tmp_path):
    with pytest.raises(ValueError, match="depth.png: depth must have shape"):
        write_depth(tmp_path / "depth.png", np.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match="depth.jpg: depth is written to .png or .npy"):
        write_depth(tmp_path / "depth.jpg", np.zeros((2, 3)))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("x")])
def test_what_is_not_complete_gets_no_name(error, tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(b"the old one")
    with pytest.raises(type(error)) as raised, atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["result.bin"]
    assert path.read_bytes() == b"the old one"
    if isinstance(error, OSError):
        assert "result.bin" in str(raised.value) and "No space left" in str(raised.value)
    with atomic_write(path) as file:
        file.write(b"the new one")
    assert path.read_bytes() == b"the new one"
    assert len(list(tmp_path.iterdir())) == 1

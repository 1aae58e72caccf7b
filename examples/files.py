"""Reads and writes images, depth and optical flow.

Every error names the file. A file that is written gets its name only when it is complete.
"""

import contextlib
import os
from pathlib import Path

import numpy as np
from PIL import Image

FLOW_MAGIC = 202021.25  # its bytes are "PIEH"
FLOW_LIMIT = 1e7  # larger components mark unknown flow
WRITTEN_UNKNOWN_FLOW = 1e10
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
TARGET_SUFFIXES = (".png", ".npy", ".flo")
LABEL_SUFFIXES = (".png",)
IGNORED_LABEL = 255  # marks pixels that count neither in training nor in evaluation


def read_image(path):
    """Return the picture (PNG or JPEG, 8 bits) as uint8 RGB, (rows, cols, 3)."""
    with _naming(path), _open_image(path) as image:
        if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
            raise ValueError(f"an image must be 8-bit grey or colour, this has mode {image.mode}")
        return np.asarray(image.convert("RGB"))


def read_target(path, unknown=None, scale=1.0):
    """Return depth or flow as float32, (rows, cols, channels), NaN where unknown.

    Args:
        path: a grey PNG (8 or 16 bits), a `.npy` of shape (rows, cols) or (rows, cols, 1 or 2), or
            a `.flo`. Numbers in a `.npy` that are not finite are unknown.
        unknown: the number in the file that stands for unknown pixels; None if none does. Often 0
            in PNGs.
        scale: what to multiply the numbers in the file with.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".flo":
        if unknown is not None or scale != 1:
            raise ValueError(
                f"{path}: `unknown` and `scale` are for PNG and .npy; a .flo marks unknown pixels "
                f"itself. Received: unknown={unknown}, scale={scale}"
            )
        return read_flow(path)
    with _naming(path):
        if suffix == ".png":
            stored = _read_grey_png(path)
        elif suffix == ".npy":
            with open(path, "rb") as file:
                stored = np.lib.format.read_array(file, allow_pickle=False)
        else:
            raise ValueError(f"a target must be one of {TARGET_SUFFIXES}")
        return _as_target(stored, unknown, scale)


def _as_target(stored, unknown, scale):
    if stored.dtype.kind not in "fiu":
        raise ValueError(f"the numbers must be real, they are {stored.dtype}")
    target = stored[..., None] if stored.ndim == 2 else stored
    if target.ndim != 3 or target.shape[2] not in (1, 2) or 0 in target.shape:
        raise ValueError(
            f"the shape must be (rows, cols) or (rows, cols, 1 or 2), it is {stored.shape}"
        )
    known = np.isfinite(target).all(-1, keepdims=True)
    if unknown is not None:
        known &= (target != unknown).all(-1, keepdims=True)
    return np.where(known, target * np.float64(scale), np.nan).astype(np.float32)


def read_flow(path):
    """Return the flow in a `.flo` as float32, (rows, cols, 2), NaN where unknown."""
    with _naming(path):
        content = Path(path).read_bytes()
        if len(content) < 12:
            raise ValueError(f"it is truncated: {len(content)} bytes, the header alone has 12")
        if np.frombuffer(content, "<f4", 1)[0] != np.float32(FLOW_MAGIC):
            raise ValueError(f"it has the wrong magic number: {content[:4]!r} and not b'PIEH'")
        cols, rows = (int(size) for size in np.frombuffer(content, "<i4", 2, offset=4))
        if rows < 1 or cols < 1:
            raise ValueError(f"it has the impossible size {rows}x{cols}")
        expected = 12 + 8 * rows * cols
        if len(content) != expected:
            what = "truncated" if len(content) < expected else "too long"
            raise ValueError(
                f"it is {what}: {len(content)} bytes, {rows}x{cols} pixels need {expected}"
            )
        flow = np.frombuffer(content, "<f4", offset=12).reshape(rows, cols, 2)
        return mark_unknown_flow(flow)


def mark_unknown_flow(flow):
    """Return the flow with NaN in both components of every pixel where it is unknown."""
    known = (np.abs(flow) <= FLOW_LIMIT).all(-1, keepdims=True)  # False for NaN
    return np.where(known, flow, np.float32(np.nan))


def read_label(path):
    """Return the numbers in a label PNG as uint8, (rows, cols, 1).

    The labels of a palette PNG are its indices, not the colours that they stand for.
    """
    with _naming(path), _open_image(path) as image:
        if image.format != "PNG" or image.mode not in ("L", "P"):
            raise ValueError(
                f"a label must be an 8-bit PNG, grey or with a palette, this is {image.format} of "
                f"mode {image.mode}"
            )
        return np.asarray(image)[..., None]


def write_label(path, label, palette):
    """Write (rows, cols) or (rows, cols, 1) labels as an 8-bit PNG with the (256, 3) `palette`."""
    label = np.asarray(label)
    image = Image.fromarray(label.reshape(label.shape[:2]).astype(np.uint8))
    image.putpalette(np.asarray(palette, np.uint8).tobytes())  # makes it an indexed image
    with atomic_write(path) as file:
        image.save(file, "PNG")


def write_flow(path, flow):
    """Write (rows, cols, 2) as a `.flo`; pixels that are not finite are written as unknown."""
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"{path}: flow must have shape (rows, cols, 2), it has {flow.shape}")
    known = np.isfinite(flow).all(-1, keepdims=True)
    rows, cols, _ = flow.shape
    with atomic_write(path) as file:
        file.write(np.float32(FLOW_MAGIC).astype("<f4").tobytes())
        file.write(np.array([cols, rows], "<i4").tobytes())
        file.write(np.where(known, flow, WRITTEN_UNKNOWN_FLOW).astype("<f4").tobytes())


def write_depth(path, depth, scale=0.001):
    """Write (rows, cols) or (rows, cols, 1) as a 16-bit PNG or, unchanged, as a float32 `.npy`.

    Args:
        path: ends in `.png` or `.npy`.
        depth: array; what is not finite is unknown.
        scale: the unit of the PNG's whole numbers: it holds depth / scale, rounded, and 0 where
            unknown. `read_target(path, unknown=0, scale=scale)` reads it back. The default stores
            metres as millimetres.
    """
    depth = np.asarray(depth, np.float32)
    if depth.ndim == 3 and depth.shape[2] == 1:
        depth = depth[..., 0]
    if depth.ndim != 2 or 0 in depth.shape:
        raise ValueError(f"{path}: depth must have shape (rows, cols), it has {depth.shape}")
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        with atomic_write(path) as file:
            np.lib.format.write_array(file, depth, allow_pickle=False)
    elif suffix == ".png":
        known = np.isfinite(depth)
        stored = np.rint(np.where(known, depth, 0) / np.float64(scale))
        if stored.min() < 0 or stored.max() > 65535:
            raise ValueError(
                f"{path}: depth from {depth[known].min()} to {depth[known].max()} does not fit "
                f"into 16 bits of {scale} each (0 to {65535 * scale:g}); use another scale or .npy"
            )
        with atomic_write(path) as file:
            Image.fromarray(stored.astype(np.uint16)).save(file, "PNG")
    else:
        raise ValueError(f"{path}: depth is written to .png or .npy")


@contextlib.contextmanager
def atomic_write(path):
    """A binary file to write to, which gets its name when everything is on the disk.

    Until then it is a hidden file in the same folder, removed if anything goes wrong.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not be written: {error.strerror}", str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _naming(path):
    """Turn what a library raises on a damaged file into a ValueError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: {error or type(error).__name__}") from error


def _open_image(path):
    try:
        return Image.open(os.fspath(path), formats=("PNG", "JPEG"))
    except Image.UnidentifiedImageError:
        raise ValueError("it is no PNG or JPEG, or it is truncated") from None


def _read_grey_png(path):
    with _open_image(path) as image:
        # Pillow's name for 16 bits depends on its version.
        if image.format != "PNG" or image.mode not in ("L", "I;16", "I;16B", "I"):
            raise ValueError(
                f"depth must be a grey PNG of 8 or 16 bits, this is {image.format} of mode "
                f"{image.mode}"
            )
        return np.asarray(image)

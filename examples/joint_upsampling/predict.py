"""Upsamples the low-res depth or flow that belongs to one image."""

from pathlib import Path

import numpy as np

from examples import files
from examples.joint_upsampling.low_resolution import crop_back, fill_unknown, pad_to_multiple
from examples.joint_upsampling.methods import upsample
from examples.joint_upsampling.networks import load_network, tile_size
from examples.training.errors import UserError, explained, full_disk_explained

OUTPUT_SUFFIXES = (".png", ".npy", ".flo")


def predict(args):
    """Upsample what `args` name and write the result; returns its path."""
    output = Path(args.output)
    if output.suffix not in OUTPUT_SUFFIXES:
        raise UserError(f"--output must end in {', '.join(OUTPUT_SUFFIXES)}: {output}")
    if output.resolve() in (Path(args.image).resolve(), Path(args.depth).resolve()):
        raise UserError(f"--output {output} would overwrite an input")
    with explained("", OSError, ValueError):
        guide = files.read_image(args.image)
        low = files.read_target(args.depth, args.unknown, args.target_scale)
    network = load_network(args.weights)
    with explained(f"{args.depth}: ", ValueError):
        low = fill_unknown(low)
    padded = _padded_guide(guide, low, network.factor, args)
    tile = tile_size(args.tile, network.factor)
    result = crop_back(upsample(network, low, padded, tile), guide)
    output.parent.mkdir(parents=True, exist_ok=True)
    # A ValueError tells of depth that does not fit into 16 bits, for example.
    with explained("", ValueError), full_disk_explained(f"{output} was not written."):
        _write(output, result, low, args.target_scale)
    rows, cols = result.shape[:2]
    print(f"{output}: {rows}x{cols} pixels, {result.min():g} to {result.max():g}")
    return output


def _write(path, result, low, unit):
    if path.suffix == ".flo":
        return files.write_flow(path, result)
    largest = 65535 * unit
    if path.suffix == ".png" and low.min() >= 0 and low.max() <= largest:
        # A network overshoots a little at edges; a PNG holds nothing below 0 or above 65535.
        result = np.clip(result, 0, largest)
    files.write_depth(path, result, unit)


def _padded_guide(guide, low, factor, args):
    """The guide at `factor` times the size of the low-res target.

    Where the factor does not divide the size of an image, its low-res image has one more row or
    column. Then the last row or column of the guide is repeated, and the result is cropped back.
    """
    needed = tuple(-(-size // factor) for size in guide.shape[:2])
    if low.shape[:2] != needed:
        raise UserError(
            f"{args.image} has {guide.shape[0]}x{guide.shape[1]} pixels (rows x columns), which "
            f"goes with a low-res target of {needed[0]}x{needed[1]} at a factor of {factor}. "
            f"{args.depth} has {low.shape[0]}x{low.shape[1]}"
        )
    return pad_to_multiple(guide, factor)

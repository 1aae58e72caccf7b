"""Upsamples the low-res depth or flow that belongs to one image."""

from pathlib import Path

import numpy as np

from examples import files
from examples.joint_upsampling.networks import load_network
from examples.training.errors import UserError, explained, full_disk_explained
from keras_pac import upsample

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
    network = args.weights if args.weights == "scenes" else load_network(args.weights)
    with explained(f"{args.image} and {args.depth}: ", ValueError):
        tile = args.tile or max(guide.shape)
        result = upsample(low, guide, args.low_res, network, tile=tile)
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
    if path.suffix == ".png" and np.nanmin(low) >= 0 and np.nanmax(low) <= largest:
        # A network overshoots a little at edges; a PNG holds nothing below 0 or above 65535.
        result = np.clip(result, 0, largest)
    files.write_depth(path, result, unit)

"""Labels the pixels of images and writes the labels as palette PNGs."""

from pathlib import Path

from examples import files
from examples.segmentation.evaluate import labels_of, logits_of
from examples.segmentation.networks import check_output_size, count_classes, load_network
from examples.segmentation.palettes import PALETTES
from examples.training.errors import UserError, explained, full_disk_explained


def predict(args):
    """Write the labels of every image that `args` name; returns the paths."""
    paths = find_images(args.images)
    output = Path(args.output)
    inputs = {path.resolve() for path in paths.values()}
    for name in paths:
        if (output / f"{name}.png").resolve() in inputs:
            raise UserError(f"--output {output} would overwrite the image {name}.png")
    network = load_network(args.weights)
    check_output_size(network)
    if count_classes(network) > 256:
        raise UserError(f"{args.weights} has {count_classes(network)} classes, a PNG at most 256")
    with full_disk_explained(f"{output} is not complete."):
        output.mkdir(parents=True, exist_ok=True)
        for number, (name, path) in enumerate(paths.items(), start=1):
            with explained("", OSError, ValueError):
                image = files.read_image(path)
            labels = labels_of(logits_of(network, image))
            files.write_label(output / f"{name}.png", labels, PALETTES[args.palette])
            print(f"\r{number} of {len(paths)} images", end="", flush=True)
    print(f"\n{output}")
    return [output / f"{name}.png" for name in paths]


def find_images(arguments):
    """{name without suffix: path} of image files, and of those in folders."""
    paths = {}
    for argument in map(Path, arguments):
        inside = [argument]
        if argument.is_dir():
            inside = [
                p for p in sorted(argument.iterdir()) if p.suffix.lower() in files.IMAGE_SUFFIXES
            ]
            if not inside:
                raise UserError(f"{argument} has no images ({', '.join(files.IMAGE_SUFFIXES)})")
        for path in inside:
            if path.stem in paths:
                raise UserError(f"{paths[path.stem]} and {path} would get the same output file")
            paths[path.stem] = path
    for path in paths.values():
        if not path.is_file():
            raise UserError(f"--images {path}: there is no such file")
    return paths

"""Labels the pixels of images: palette PNGs, and on request overlays and a table of areas."""

import csv
import io
from pathlib import Path

import keras
import numpy as np

from examples import files
from examples.segmentation.evaluate import labels_of, logits_of
from examples.segmentation.networks import check_output_size, count_classes, load_network
from examples.segmentation.palettes import PALETTES, class_names
from examples.segmentation.pictures import save_overlay
from examples.segmentation.refinement import refinement
from examples.training.errors import UserError, explained, full_disk_explained
from examples.training.reports import write_text


def predict(args):
    """Write the labels of every image that `args` name; returns the paths."""
    paths = find_images(args.images)
    output, overlays = check_folders(args, paths)
    network = load_network(args.weights)
    check_output_size(network)
    classes, palette = count_classes(network), PALETTES[args.palette]
    if classes > 256:
        raise UserError(f"{args.weights} has {classes} classes, a PNG at most 256")
    refined = refinement(args)
    areas, progress = {}, keras.utils.Progbar(len(paths), unit_name="image")
    with full_disk_explained(f"{output} is not complete."):
        output.mkdir(parents=True, exist_ok=True)
        for number, (name, path) in enumerate(paths.items(), start=1):
            with explained("", OSError, ValueError):
                image = files.read_image(path)
            labels = labels_of(refined(logits_of(network, image), image))
            files.write_label(output / f"{name}.png", labels, palette)
            if overlays:
                save_overlay(overlays / f"{name}.png", image, labels, palette)
            areas[name] = np.bincount(labels.ravel(), minlength=classes) / labels.size
            progress.update(number)
        if args.areas:
            write_areas(args.areas, areas, class_names(args.palette, classes))
    print(output)
    return [output / f"{name}.png" for name in paths]


def check_folders(args, paths):
    """The folders of labels and overlays (or None); nothing that was given may be overwritten."""
    output, overlays = Path(args.output), args.overlays and Path(args.overlays)
    areas = args.areas and Path(args.areas)
    folders = {"--output": output, "--overlays": overlays}
    for option, folder in {**folders, "--areas": areas and areas.parent}.items():
        if folder and folder.exists() and not folder.is_dir():
            raise UserError(f"{option} needs a folder. Received: {folder}, which is a file")
    if overlays and overlays.resolve() == output.resolve():
        raise UserError(f"--output and --overlays must be different folders, not both {output}")
    images = {path.resolve() for path in paths.values()}
    for option, folder in folders.items():
        written = {(folder / f"{name}.png").resolve() for name in paths if folder}
        if over := sorted(path.name for path in written & images):
            raise UserError(f"{option} {folder} would overwrite the image {over[0]}")
        images |= written
    if areas and (areas.is_dir() or areas.resolve() in {*images, Path(args.weights).resolve()}):
        raise UserError(
            "--areas must be a file of its own, not a folder, an image or the network. "
            f"Received: {areas}"
        )
    return output, overlays


def write_areas(path, areas, names):
    """A CSV table: a row for each image, with the share of its pixels that each class has."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", *names])
    for image, shares in areas.items():
        table.writerow([image, *(f"{share:.6f}" for share in shares)])
    write_text(path, text.getvalue())


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

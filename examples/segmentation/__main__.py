"""The command line: `python -m examples.segmentation {train,evaluate,predict} --help`."""

import sys

from examples.training import command_line
from examples.training.command_line import natural, number, positive, positive_number

DESCRIPTION = """\
Semantic segmentation: an image in, a label for every pixel out; with a PAC-CRF behind a network,
and with PAC layers in the place of some of its convolutions.

  train      train a network, or go on with a trained one and put PAC into it;
             --resume goes on with a run that was stopped or killed
  evaluate   mean IoU, IoU of every class and pixel accuracy of trained networks
  predict    the labels of images, as palette PNGs

Su et al. (CVPR 2019) start from a trained network, train the CRF alone, then all together:
  train --network small --classes 11 --steps 3000 … --out base
  train --start base/network.keras --crf 4d --crf-alone --learning-rate 1e-2 --steps 200 … --out crf
  train --start crf/network.keras --steps 800 --keep-statistics … --out together
  train --start base/network.keras --swap conv3_2 --guide conv2_2_relu --steps 1000 … --out swapped
`<command> --help` lists every option.
"""


def make_parser():
    commands = {
        "train": (add_train_options, "train a network"),
        "evaluate": (add_evaluate_options, "measure how good networks are"),
        "predict": (add_predict_options, "label the pixels of images"),
    }
    return command_line.make_parser("examples.segmentation", DESCRIPTION, commands)


def add_data_options(parser, split):
    data = "voc2012_segmentation or image_folder_labels"
    manual_dir = "the folder of images and labels, or of VOC and SBD"
    add = command_line.add_data_options(parser, data, manual_dir)
    add("--split", default=split, help="split of the data set, or a part: train[:80%%]")
    add("--images", metavar="NAME", help="sub-folder of image_folder_labels (default: images)")
    add("--labels", metavar="NAME", help="sub-folder of image_folder_labels (default: labels)")
    ignore = "label in the files of image_folder_labels that does not count, besides 255"
    add("--ignore", type=natural, metavar="N", help=ignore)


def add_train_options(parser):
    add_data_options(parser, "train")
    group = parser.add_argument_group("network")
    start = group.add_mutually_exclusive_group(required=True)
    start.add_argument("--network", choices=("small", "coarse", "FCN8s"), help="a new network")
    start.add_argument("--start", metavar="FILE", help="a trained network (.keras)")
    add = group.add_argument
    add("--classes", type=positive, metavar="N", help="number of labels of a new network")
    padding = "of a new FCN8s: 100 pixels around the image, or as every layer needs"
    add("--padding", choices=("original", "same"), default="original", help=padding)
    add(
        "--weights",
        metavar="{imagenet,FILE}",
        help="where the VGG-16 of a new FCN8s starts: imagenet downloads keras.applications's "
        "weights, FILE has them (random)",
    )
    add("--swap", nargs="+", metavar="LAYER", help="convolutions that become PAC layers")
    add("--guide", metavar="LAYER", help="the layer that guides them")
    scale = "factor on the guide; a small one lets the network do at first what it did"
    add("--guide-scale", type=number, default=1e-4, help=scale)
    add = parser.add_argument_group("CRF").add_argument
    add(
        "--crf",
        metavar="KERNELS",
        help="put a PAC-CRF behind the network: potts, 2d, 4d or two (4d at two distances), or "
        "a JSON list of the arguments of keras_pac.PairwiseKernel",
    )
    add(
        "--color-scale",
        type=number,
        nargs="+",
        default=[15.0],
        metavar="X",
        help="how different the colours (0 to 255) of like pixels are, at first; one for all "
        "kernels or one for each",
    )
    position = "how many pixels like pixels are apart, at first (their distance does not count)"
    add("--position-scale", type=number, nargs="+", metavar="X", help=position)
    add("--mean-field-steps", type=positive, default=5, metavar="N", help="steps of inference")
    add("--loose", action="store_true", help="weights of its own for every step of inference")
    add("--crf-alone", action="store_true", help="train the new CRF, not the network before it")
    add = parser.add_argument_group("schedule").add_argument
    add("--steps", type=positive, required=True, metavar="N", help="number of batches")
    add("--batch-size", type=positive, default=4, metavar="N", help="images in a step")
    add(
        "--crop",
        type=natural,
        default=256,
        metavar="N",
        help="height and width of random crops; smaller images are filled up with ignored pixels. "
        "0: whole images, filled up to the largest of the batch",
    )
    keep = (
        "of a trained network: batch normalization keeps its statistics, and nothing is dropped out"
    )
    add("--keep-statistics", action="store_true", help=keep)
    add("--no-flips", dest="flips", action="store_false", help="no random mirroring")
    add("--optimizer", choices=("adam", "sgd"), default="adam", help="(sgd: momentum 0.9)")
    add("--learning-rate", type=positive_number, default=1e-3, help="at first")
    falls = "how the rate falls to zero (poly: power 0.9)"
    add("--schedule", choices=("poly", "cosine"), default="poly", help=falls)
    command_line.add_run_options(parser, save_every=100, measure="mean IoU")


def add_evaluate_options(parser):
    add_data_options(parser, "val")
    add = parser.add_argument
    add("--weights", nargs="+", required=True, metavar="FILE", help="trained networks (.keras)")
    borders = "also the mean IoU of pixels that are at most N pixels from another label"
    add("--near-borders", type=positive, nargs="+", default=[], metavar="N", help=borders)
    numbers = "write all numbers, with the confusion matrices"
    pictures = "write pictures: image, prediction of each, truth"
    command_line.add_report_options(parser, numbers, pictures)
    add_refine_option(parser)
    add_palette_option(parser)


def add_predict_options(parser):
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="trained network (.keras)")
    add("--images", nargs="+", required=True, metavar="PATH", help="PNG, JPEG, or folders of them")
    add(
        "--output",
        required=True,
        metavar="DIR",
        help="folder of the PNGs, which have the names of the images. The VOC server wants it to "
        "be results/VOC2012/Segmentation/comp6_test_cls",
    )
    add("--overlays", metavar="DIR", help="also write the labels over the images")
    add("--areas", metavar="FILE", help="also write a CSV table of the share of every class")
    add_refine_option(parser)
    add_palette_option(parser)


def add_refine_option(parser):
    untrained = (
        "let labels follow the colours without training: crf and pamr are keras_pac.models.refine, "
        "full-crf a CRF of all pairs of pixels, by the package pydensecrf"
    )
    parser.add_argument("--refine", choices=("crf", "pamr", "full-crf"), help=untrained)
    options = "keyword arguments of keras_pac.models.refine, or of full_crf in refinement.py"
    parser.add_argument("--refine-options", metavar="JSON", help=options)


def add_palette_option(parser):
    palette = "colours and class names"
    parser.add_argument("--palette", choices=("voc", "camvid"), default="voc", help=palette)


def main(arguments=None):
    command_line.run_program(make_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

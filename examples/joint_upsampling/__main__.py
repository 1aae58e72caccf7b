"""The command line: `python -m examples.joint_upsampling {train,evaluate,predict} --help`."""

import sys

from examples.training import command_line
from examples.training.command_line import natural, number, positive, positive_number

DESCRIPTION = """\
Joint upsampling of depth or optical flow: a low-resolution target and a full-resolution image in,
the target in full resolution out.

  train      train a network; --resume goes on with a run that was stopped or killed
  evaluate   the error of trained networks, interpolation and joint bilateral upsampling
  predict    upsample the low-res depth (or flow) that belongs to one image

The defaults of train are the protocol of the paper (Su et al., CVPR 2019): Adam, learning rate
1e-4, a tenth after 3500 and after 4500 of 5000 epochs, batches of one crop of 256 pixels, flips,
mean squared error. `<command> --help` lists every option.
"""
TILE = 1024
NETWORK = "trained network (.keras), or `scenes` for the one that comes with the package"
NETWORKS = ("LearnedBilateralUpsample", "PacJointUpsample", "PacJointUpsampleLite", "DJIF")


def make_parser():
    commands = {
        "train": (add_train_options, "train a network"),
        "evaluate": (add_evaluate_options, "measure the error of methods"),
        "predict": (add_predict_options, "upsample one low-res target"),
    }
    return command_line.make_parser("examples.joint_upsampling", DESCRIPTION, commands)


def add_data_options(parser, split, low_res=()):
    data = "name in examples.datasets, or `folder`"
    add = command_line.add_data_options(parser, data, "folder with files downloaded by hand")
    add("--split", help=f"split of the data set, or a part: train[:80%%] (default: {split})")
    parser.set_defaults(default_split=split)
    add("--images", metavar="DIR", help="folder of images, for --data folder")
    add("--targets", metavar="DIR", help="folder of depth (.png, .npy) or .flo files, same names")
    add("--unknown", type=number, help="number that stands for unknown pixels in a folder's files")
    add("--target-scale", type=number, help="factor on a folder's numbers (default: 1)")
    add("--render-pass", help="clean, final or albedo, for mpi_sintel (default: clean)")
    add = parser.add_argument
    add("--factor", type=int, choices=(2, 4, 8, 16), default=4, help="of the upsampling")
    add(
        "--low-res",
        choices=("center", "last", "bilinear", "bicubic", "nearest", *low_res),
        help="how low-res targets are made (center for depth, bilinear for flow)"
        + "; any: in several ways, of which LearnedBilateralUpsample is told some" * bool(low_res),
    )
    add("--border", type=natural, default=6, metavar="N", help="pixels on each side to leave out")


def add_train_options(parser):
    add_data_options(parser, "train", ("any",))
    parser.set_defaults(tile=TILE, tell_low_res=False)  # of images that are measured
    add = parser.add_argument
    add("--network", choices=NETWORKS, default="PacJointUpsample", help="what to train")
    add(
        "--initial-weights",
        default="random",
        metavar="{random,interpolation,FILE}",
        help="interpolation: start as interpolation, for short runs of the Pac networks; FILE: "
        "the network.keras of another run",
    )
    add = parser.add_argument_group("schedule").add_argument
    add("--epochs", type=positive, default=5000, metavar="N", help="how often every image is seen")
    add("--steps", type=positive, metavar="N", help="number of batches, instead of --epochs")
    add("--batch-size", type=positive, default=1, metavar="N", help="of all devices together")
    add("--crop", type=positive, default=256, metavar="N", help="height and width of random crops")
    add("--learning-rate", type=positive_number, default=1e-4, help="of Adam, at its largest")
    rates = "steps: a tenth after 70%% and 90%% of the run; cosine: down to zero"
    add("--schedule", choices=("steps", "cosine"), default="steps", help=rates)
    add("--warmup", type=natural, default=100, metavar="N", help="steps of warm-up before cosine")
    add(
        "--loss",
        choices=("l2", "l1", "relative"),
        default="l2",
        help="over known pixels; relative: root of l2, of every crop as a share of bilinear's",
    )
    add("--clip-norm", type=positive_number, help="limit of the gradient's norm (on each device)")
    add("--no-flips", dest="flips", action="store_false", help="no random mirroring")
    augment = "random colours, blur, noise, turns, soft edges, inverted depth: for drawn scenes"
    add("--augment", action="store_true", help=augment)
    command_line.add_run_options(parser, save_every=500, measure="error on whole images")
    add = parser.add_argument_group("machine").add_argument
    precisions = ("float32", "mixed_float16", "mixed_bfloat16")
    add("--precision", choices=precisions, default="float32", help="what the network computes in")
    add("--devices", type=positive, default=1, metavar="N", help="GPUs (or parts of the CPU)")
    workers = "several machines: start this command on each, with TF_CONFIG; --out is shared"
    add("--workers", action="store_true", help=workers)


def add_evaluate_options(parser):
    add_data_options(parser, "test")
    add = parser.add_argument
    add("--weights", nargs="*", default=[], metavar="FILE", help=f"{NETWORK}, several")
    add(
        "--bilateral",
        nargs=3,
        type=number,
        action="append",
        metavar=("K", "SPACE", "COLOR"),
        help="joint bilateral upsampling: kernel size, weights of position (1/pixels) and colour "
        "(1/range of 0 to 1); repeat to compare several",
    )
    add(
        "--protocol",
        choices=("paper", "gdsr"),
        default="paper",
        help="gdsr: that of guided depth super-resolution, bicubic low-res targets (Pillow's), the "
        "whole image, shares of bicubic",
    )
    tell = (
        "tell `upsample` how low-res targets are made: with all networks and the bilateral filter "
        "it then looks twice and corrects the result"
    )
    add("--tell-low-res", action="store_true", help=tell)
    add("--metric", choices=("rmse", "epe"), help="(epe for flow, rmse for the rest)")
    add(
        "--scale",
        type=positive_number,
        default=1.0,
        help="factor to the unit of the report: 100 = m to cm",
    )
    pictures = "write side-by-side pictures"
    command_line.add_report_options(parser, "write the numbers of every image", pictures)
    add_tile_option(parser)


def add_predict_options(parser):
    add = parser.add_argument
    add("--weights", default="scenes", metavar="FILE", help=NETWORK)
    ways = "how the low-res target came about: one sample a cell, averages, or not known"
    add("--low-res", choices=("any", "center", "average"), default="any", help=ways)
    add(
        "--image",
        required=True,
        metavar="FILE",
        help="RGB image, factor times the low-res size; "
        "where the factor does not divide its size, the low-res size is rounded up",
    )
    add("--depth", required=True, metavar="FILE", help="low-res depth (.png, .npy) or flow (.flo)")
    add("--output", required=True, metavar="FILE", help=".png (16 bit), .npy, or .flo for flow")
    add("--unknown", type=number, help="number that stands for unknown low-res pixels, such as 0")
    unit = "factor on the numbers in a PNG or .npy; a PNG is written in the same unit"
    add("--target-scale", type=number, default=1.0, help=unit)
    add_tile_option(parser)


def add_tile_option(parser):
    tile = "pixels of the tiles in which large images go through a network; 0: whole"
    parser.add_argument("--tile", type=natural, default=TILE, help=tile)


def main(arguments=None):
    command_line.run_program(make_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""Joint upsampling of disparity ×4: trains on drawn scenes and measures on a photograph.

Run `python -m examples.demo`; it writes everything to outputs/demo. If it was stopped, it goes on;
to train anew, delete that folder.
"""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np

from examples.demo.motorcycle import load_motorcycle
from examples.joint_upsampling import data
from examples.joint_upsampling.__main__ import make_parser
from examples.joint_upsampling.evaluate import interpolate, mean_error
from examples.joint_upsampling.low_resolution import fill_unknown, sample_centers
from examples.joint_upsampling.metrics import rmse
from examples.joint_upsampling.networks import load_network
from examples.joint_upsampling.pictures import save_comparison
from examples.training.command_line import ended_with_a_message, make_repeatable, run_command
from keras_pac import upsample
from keras_pac.models import JointBilateralUpsample

FACTOR = 4
OUTPUTS = Path("outputs/demo")
# Options of `python -m examples.joint_upsampling`, those of the network that comes with the package
# but for the number of steps and scenes. Without --clip-norm, some of the first steps change too
# much.
TRAINING = (
    f"train --data scenes --network LearnedBilateralUpsample --factor {FACTOR} --out {OUTPUTS} "
    "--resume --low-res any --loss relative --augment --crop 96 --batch-size 6 --steps 1800 "
    "--save-every 600 --schedule cosine --learning-rate 2e-3 --clip-norm 1 "
    "--validation validation --border 0"
)
CLOSE_UP = np.s_[80:240, 300:560]  # handlebar, lamp and the shelf behind them


def main():
    args = make_parser().parse_args(TRAINING.split())
    with ended_with_a_message("started again, it goes on from its last checkpoint"):
        make_repeatable()
        train_and_measure(args)


def train_and_measure(args):
    run_command(args)
    network = load_network(OUTPUTS / "network.keras")
    joint_bilateral = tune_joint_bilateral(data.open_dataset(args, args.validation), args)

    guide, truth = load_motorcycle(FACTOR)
    low = sample_centers(fill_unknown(truth), FACTOR)
    results = {name: interpolate(low, FACTOR, name) for name in ("nearest", "bilinear", "bicubic")}
    results["joint bilateral"] = upsample(low, guide, weights=joint_bilateral)
    results["trained here"] = upsample(low, guide, "center", network)
    results["keras_pac.upsample"] = upsample(low, guide, "center")
    print_table(results, truth)
    save_pictures(guide, truth, results)
    export_and_check(network, low, guide)


def tune_joint_bilateral(scenes, args):
    """The filter with the smallest error on drawn scenes; the photograph is for measuring only."""
    # With a larger colour scale, some pixels are so unlike all neighbours that every K rounds to 0.
    kernel_sizes, scales_space, scales_color = (9, 13), (0.3, 0.45, 0.6), (3.0, 6.0, 12.0)
    choices = itertools.product(kernel_sizes, scales_space, scales_color)
    filters = (JointBilateralUpsample(FACTOR, *choice) for choice in choices)
    return min(filters, key=lambda filter: mean_error(filter, scenes, args))


def print_table(results, truth):
    errors = {name: rmse(result, truth) for name, result in results.items()}
    print("\nMotorcycle, disparity ×4. RMSE in pixels of disparity, and as a share of bilinear's:")
    for name, error in errors.items():
        print(f"  {name:<20}{error:7.3f}{error / errors['bilinear']:8.2f}")


def save_pictures(guide, truth, results):
    for name, region in {"motorcycle": np.s_[:, :], "close_up": CLOSE_UP}.items():
        path = OUTPUTS / f"{name}.png"
        methods = "bilinear", "joint bilateral", "trained here", "keras_pac.upsample"
        shown = {method: results[method][region] for method in methods}
        low = results["nearest"][region]
        save_comparison(path, guide[region], low, truth[region], shown)
        print(f"picture: {path}")


def export_and_check(network, low, guide):
    """Export the network, then run the export in a process without this package."""
    folder, arrays = OUTPUTS / "saved_model", OUTPUTS / "check.npz"
    network.export(folder, verbose=False)
    target_low = ((low - low.min()) / (low.max() - low.min()))[None]
    guide = (guide / 255).astype(np.float32)[None]
    expected = np.asarray(network([target_low, guide], training=False))
    np.savez(arrays, target_low=target_low, guide=guide, expected=expected)
    check = Path(__file__).with_name("check_saved_model.py")
    subprocess.run([sys.executable, "-I", check, folder, arrays], check=True)


if __name__ == "__main__":
    main()

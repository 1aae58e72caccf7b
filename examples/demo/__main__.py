"""Joint upsampling of disparity ×4: trains on drawn scenes and measures on a photograph.

Run `python -m examples.demo`; it writes everything to outputs/demo.
"""

import itertools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from examples.demo.motorcycle import load_motorcycle
from examples.joint_upsampling import data
from examples.joint_upsampling.__main__ import make_parser
from examples.joint_upsampling.initial_weights import start_as_interpolation
from examples.joint_upsampling.low_resolution import (
    fill_unknown,
    offset_and_scale,
    sample_centers,
)
from examples.joint_upsampling.methods import interpolate, network_inputs, upsample
from examples.joint_upsampling.metrics import rmse
from examples.joint_upsampling.pictures import save_comparison
from keras_pac.models import JointBilateralUpsample, PacJointUpsampleLite

FACTOR = 4
SEED = 1
EPOCHS, STEPS, BATCH_SIZE = 8, 600, 4
CROP = 64  # small crops give more steps, and so a better network, in the same time
OUTPUTS = Path("outputs/demo")
CLOSE_UP = np.s_[80:240, 300:560]  # handlebar, lamp and the shelf behind them


def main():
    keras.utils.set_random_seed(SEED)
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    # The data of the program in examples/joint_upsampling, with its options.
    options = f"train --data scenes --out {OUTPUTS} --factor {FACTOR} --crop {CROP} --seed {SEED}"
    options += f" --batch-size {BATCH_SIZE} --color-jitter"
    args = make_parser().parse_args(options.split())
    training, validation = (data.open_dataset(args, split) for split in ("train", "validation"))
    scenes = data.whole_images(validation, args).cache()
    network = train(data.batches(training, args), scenes.batch(BATCH_SIZE))
    joint_bilateral = tune_joint_bilateral(scenes)

    guide, truth = load_motorcycle(FACTOR)
    low = sample_centers(fill_unknown(truth), FACTOR)
    results = {name: interpolate(low, FACTOR, name) for name in ("nearest", "bilinear", "bicubic")}
    results["joint bilateral"] = upsample(joint_bilateral, low, guide)
    results["PAC network"] = upsample(network, low, guide)
    print_table(results, truth)
    save_pictures(guide, truth, results)

    network.save(OUTPUTS / "joint_upsampling.keras")
    export_and_check(network, low, guide)


def train(batches, scenes):
    network = PacJointUpsampleLite(FACTOR)
    start_as_interpolation(network)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0, EPOCHS * STEPS - 100, warmup_target=2e-3, warmup_steps=100
    )
    network.compile(
        # Without the limit on the norm, some of the first steps change the weights too much.
        keras.optimizers.Adam(learning_rate, global_clipnorm=0.2),
        loss="mean_squared_error",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
    )
    network.fit(
        batches,
        validation_data=scenes,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        shuffle=False,  # the batches have their order
    )
    return network


def tune_joint_bilateral(scenes):
    """The filter with the smallest error on drawn scenes; the photograph is for measuring only."""
    inputs, truths = next(scenes.batch(8).as_numpy_iterator())

    def mean_error(model):
        return np.mean([rmse(*pair) for pair in zip(np.asarray(model(inputs)), truths)])

    # With a larger colour scale, some pixels are so unlike all neighbours that every K rounds to 0.
    kernel_sizes, scales_space, scales_color = (9, 13), (0.3, 0.45, 0.6), (3.0, 6.0, 12.0)
    choices = itertools.product(kernel_sizes, scales_space, scales_color)
    return min((JointBilateralUpsample(FACTOR, *choice) for choice in choices), key=mean_error)


def print_table(results, truth):
    errors = {name: rmse(result, truth) for name, result in results.items()}
    print("\nMotorcycle, disparity ×4. RMSE in pixels of disparity, and as a share of bilinear's:")
    for name, error in errors.items():
        print(f"  {name:<16}{error:7.3f}{error / errors['bilinear']:8.2f}")


def save_pictures(guide, truth, results):
    for name, region in {"motorcycle": np.s_[:, :], "close_up": CLOSE_UP}.items():
        path = OUTPUTS / f"{name}.png"
        methods = "bilinear", "joint bilateral", "PAC network"
        shown = {method: results[method][region] for method in methods}
        low = results["nearest"][region]
        save_comparison(path, guide[region], low, truth[region], shown)
        print(f"picture: {path}")


def export_and_check(network, low, guide):
    """Export the network, then run the export in a process without this package."""
    folder, arrays = OUTPUTS / "saved_model", OUTPUTS / "check.npz"
    network.export(folder, verbose=False)
    offset, scale = offset_and_scale(low)
    target_low, guide = network_inputs(low, guide, offset, scale)
    expected = np.asarray(network([target_low, guide], training=False))
    np.savez(arrays, target_low=target_low, guide=guide, expected=expected)
    check = Path(__file__).with_name("check_saved_model.py")
    subprocess.run([sys.executable, "-I", check, folder, arrays], check=True)


if __name__ == "__main__":
    main()

"""Evaluation and prediction."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from examples import files
from examples.joint_upsampling import data, pictures
from examples.joint_upsampling.initial_weights import start_as_interpolation
from examples.joint_upsampling.low_resolution import fill_unknown
from examples.joint_upsampling.methods import upsample
from examples.training.errors import UserError
from keras_pac.models import DJIF, PacJointUpsampleLite
from tests.support.joint_upsampling_child import drawn_examples, examples_of
from tests.support.joint_upsampling_program import run_program


@pytest.fixture(scope="module")
def interpolating(tmp_path_factory):
    """A file with a network that passes its target on, enlarged."""
    network = PacJointUpsampleLite(4)
    start_as_interpolation(network)
    path = tmp_path_factory.mktemp("networks") / "interpolating.keras"
    network.save(path)
    return path


@pytest.mark.parametrize("size", [(48, 64), (45, 62)], ids=["multiple", "padded"])
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_prediction(tmp_path, interpolating, size, suffix):
    Image.new("RGB", size[::-1], (90, 80, 70)).save(tmp_path / "image.jpg")
    low = np.full((12, 16), 1500, np.uint16)
    low[6:] = 3000
    low[0, :3] = 0  # unknown
    Image.fromarray(low).save(tmp_path / "low.png")
    output = tmp_path / "new" / f"depth{suffix}"
    run_program(
        *("predict", "--weights", interpolating, "--image", tmp_path / "image.jpg"),
        *("--depth", tmp_path / "low.png", "--output", output),
        *("--unknown", 0, "--target-scale", 0.001, "--tile", 32),
    )
    depth = files.read_target(output, scale=0.001 if suffix == ".png" else 1.0)
    assert depth.shape == (*size, 1)
    network = keras.models.load_model(interpolating)
    guide = np.broadcast_to(files.read_image(tmp_path / "image.jpg")[:1, :1], (48, 64, 3))
    filled = np.where(low == 0, 1.5, low / 1000)[..., None].astype(np.float32)
    expected = upsample(network, filled, guide)[: size[0], : size[1]]
    np.testing.assert_allclose(depth, expected, atol=0.0006)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


@pytest.mark.parametrize("shift", [-1, 1])
def test_what_overshoots_the_range_of_a_png_is_cut_off(tmp_path, interpolating, shift):
    network = keras.models.load_model(interpolating)
    network.branch_f[-1].bias.assign([0.5 + shift])
    network.save(tmp_path / "shifted.keras")
    Image.new("RGB", (64, 48), (90, 80, 70)).save(tmp_path / "image.png")
    low = np.zeros((12, 16), np.uint16)
    low[:, 8:] = 65535
    Image.fromarray(low).save(tmp_path / "low.png")
    files_of = ["--image", tmp_path / "image.png", "--depth", tmp_path / "low.png"]
    for suffix in (".npy", ".png"):
        output = tmp_path / f"depth{suffix}"
        weights = ["--weights", tmp_path / "shifted.keras"]
        run_program("predict", *weights, *files_of, "--output", output)
    whole = files.read_target(tmp_path / "depth.npy")
    assert whole.max() > 65535 if shift > 0 else whole.min() < 0
    expected = np.clip(whole, 0, 65535)
    np.testing.assert_allclose(files.read_target(tmp_path / "depth.png"), expected, atol=0.51)


def test_prediction_checks_the_sizes(tmp_path, interpolating):
    Image.new("RGB", (64, 48)).save(tmp_path / "image.png")
    np.save(tmp_path / "low.npy", np.ones((12, 15), np.float32))
    command = ["predict", "--weights", interpolating, "--image", tmp_path / "image.png"]
    command += ["--depth", tmp_path / "low.npy"]
    with pytest.raises(UserError, match="image.png has 48x64 .* 12x16 .* factor of 4.*12x15"):
        run_program(*command, "--output", tmp_path / "a.npy")
    with pytest.raises(UserError, match="must end in"):
        run_program(*command, "--output", tmp_path / "a.jpg")
    for name in ("image.png", "low.npy"):
        with pytest.raises(UserError, match=f"{name} would overwrite an input"):
            run_program(*command, "--output", tmp_path / name)


def test_evaluation(drawn, tmp_path, capsys):
    DJIF(4).save(tmp_path / "djif.keras")
    run_program(
        *("evaluate --data drawn --factor 4 --border 2 --scale 100 --picture-count 1".split()),
        *("--weights", tmp_path / "djif.keras", "--json", tmp_path / "report.json"),
        *("--pictures", tmp_path / "pictures"),
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["methods"]) == 5
    truth = next(drawn_examples(first=100))["target"]
    low = fill_unknown(truth)[1::4, 1::4]
    nearest = low.repeat(4, 0).repeat(4, 1)
    squared = ((nearest - truth)[2:-2, 2:-2].astype(np.float64)) ** 2
    expected = 100 * np.sqrt(np.nanmean(squared))
    errors = report["methods"]["nearest"]["images"]
    np.testing.assert_allclose(errors["scene 100"], expected, rtol=1e-6)
    assert len(errors) == 5
    assert report["methods"]["nearest"]["mean"] == pytest.approx(np.mean(list(errors.values())))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["scene 100.png"]
    assert "of bilinear" in capsys.readouterr().out


def test_the_low_res_targets_and_the_metric_are_those_asked_for(drawn, tmp_path):
    options = ["--low-res", "last", "--metric", "epe", "--border", 0]
    run_program("evaluate", "--data", "drawn", *options, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    truth = next(drawn_examples(first=100))["target"]
    nearest = fill_unknown(truth)[3::4, 3::4].repeat(4, 0).repeat(4, 1)
    expected = np.nanmean(np.abs(nearest - truth))
    assert report["methods"]["nearest"]["images"]["scene 100"] == pytest.approx(expected, rel=1e-5)


def test_two_examples_of_one_name_are_refused(monkeypatch):
    twice = [*drawn_examples(1, first=1), *drawn_examples(1, first=1)]
    monkeypatch.setattr(data, "open_dataset", lambda args, split: examples_of(twice))
    with pytest.raises(UserError, match="Two examples of the data set have the name scene 1"):
        run_program("evaluate", "--data", "drawn")


def test_evaluation_refuses_a_network_of_another_factor_and_broken_files(drawn, tmp_path):
    DJIF(8).save(tmp_path / "djif.keras")
    with pytest.raises(UserError, match="djif.keras upsamples ×8, not ×4"):
        run_program("evaluate", "--data", "drawn", "--weights", tmp_path / "djif.keras")
    (tmp_path / "broken.keras").write_bytes((tmp_path / "djif.keras").read_bytes()[:5000])
    with pytest.raises(UserError, match="broken.keras is no trained network"):
        run_program("evaluate", "--data", "drawn", "--weights", tmp_path / "broken.keras")


def test_flow_is_measured_by_epe_and_drawn_in_the_color_wheel(monkeypatch, tmp_path, capsys):
    def open_flow(args, split):
        return examples_of(list(drawn_examples(2, channels=2)), 2)

    monkeypatch.setattr(data, "open_dataset", open_flow)
    run_program("evaluate", "--data", "flow", "--pictures", tmp_path)
    assert "EPE, mean of 2 images, ×4, bilinear low-res" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 2


def test_colors_of_flow():
    assert pictures.color_wheel().shape == (55, 3)
    flow = np.array([[[1.0, 0.0], [0.0, 0.0], [np.nan, 0.0], [-1.0, 0.0]]])
    right, rest, unknown, left = pictures.flow_to_rgb(flow, longest=1)[0]
    np.testing.assert_allclose(right, [1, 0, 0], atol=0.1)  # red
    np.testing.assert_array_equal(rest, [1, 1, 1])
    np.testing.assert_array_equal(unknown, [0, 0, 0])
    assert left[0] < 0.1 and left[2] > 0.9  # opposite: blue-green

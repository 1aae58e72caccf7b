"""Evaluation and prediction."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from examples import files
from examples.joint_upsampling import data, evaluate, pictures
from examples.joint_upsampling.initial_weights import start_as_interpolation
from examples.joint_upsampling.low_resolution import fill_unknown
from examples.training.errors import UserError
from keras_pac import upsample
from keras_pac.models import DJIF, JointBilateralUpsample, PacJointUpsampleLite
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
    expected = upsample(filled, guide, weights=network)[: size[0], : size[1]]
    np.testing.assert_allclose(depth, expected, atol=0.0006)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_prediction_of_flow(tmp_path, interpolating, rng):
    guide = rng.integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(guide).save(tmp_path / "image.png")
    low = rng.normal(size=(12, 16, 2)).astype(np.float32)
    files.write_flow(tmp_path / "low.flo", low)
    inputs = ["--image", tmp_path / "image.png", "--depth", tmp_path / "low.flo"]
    run_program("predict", "--weights", interpolating, *inputs, "--output", tmp_path / "result.flo")
    expected = upsample(low, guide, weights=keras.models.load_model(interpolating))
    np.testing.assert_allclose(files.read_flow(tmp_path / "result.flo"), expected, atol=1e-5)


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
    with pytest.raises(
        UserError,
        match="image.png and .*low.npy: .* by a factor of 4, .* 12x15 and an image of 48x64 pixels",
    ):
        run_program(*command, "--output", tmp_path / "a.npy")
    with pytest.raises(UserError, match="nowhere.npy"):
        depth = ["--depth", tmp_path / "nowhere.npy", "--output", tmp_path / "a.npy"]
        run_program(*command, *depth)
    np.save(tmp_path / "low.npy", np.ones((12, 16), np.float32))
    with pytest.raises(UserError, match="low.npy: Each channel of the target must have a known"):
        run_program(*command, "--unknown", 1, "--output", tmp_path / "a.npy")
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
        *("--bilateral", 5, 0.4, 6, "--bilateral", 9, 0.4, 6),
    )
    report = json.loads((tmp_path / "report.json").read_text())
    bilateral = ["joint bilateral 5, 0.4, 6", "joint bilateral 9, 0.4, 6"]
    networks = [*bilateral, str(tmp_path / "djif.keras")]
    assert list(report["methods"]) == ["nearest", "bilinear", "bicubic", *networks]
    how = {name: report[name] for name in ("factor", "low_res", "metric", "scale", "border")}
    assert how == {"factor": 4, "low_res": "center", "metric": "rmse", "scale": 100, "border": 2}
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
    means = {name: method["mean"] for name, method in report["methods"].items()}
    share = means["nearest"] / means["bilinear"]
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["nearest", f"{means['nearest']:.4f}", f"{share:.3f}"] in table


@pytest.mark.parametrize(("tile", "largest"), [(24, 6 + 2), (0, 12)])
def test_images_go_through_a_network_in_tiles(monkeypatch, tmp_path, tile, largest):
    """Of 6 low-res pixels and the one on each side that a window of 9 pixels reaches."""
    one = examples_of([next(drawn_examples())])
    monkeypatch.setattr(data, "open_dataset", lambda args, split: one)
    filter, seen, call = JointBilateralUpsample(4, 9, 0.4, 6), [], JointBilateralUpsample.call
    filter.save(tmp_path / "filter.keras")

    def look(model, inputs, **options):
        seen.append(max(inputs[0].shape[1:3], key=lambda size: size or 0))
        return call(model, inputs, **options)

    Image.new("RGB", (48, 48)).save(tmp_path / "image.png")
    np.save(tmp_path / "low.npy", np.eye(12, dtype=np.float32))
    inputs = ["--image", tmp_path / "image.png", "--depth", tmp_path / "low.npy"]
    predict = ["predict", *inputs, "--output", tmp_path / "result.npy"]
    monkeypatch.setattr(JointBilateralUpsample, "call", look)
    for command in (["evaluate", "--data", "one"], predict):
        seen.clear()
        run_program(*command, "--weights", tmp_path / "filter.keras", "--tile", tile)
        assert max(size or 0 for size in seen) == largest


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
    run_program("evaluate", "--data", "flow", "--metric", "rmse")
    assert "RMSE, mean of 2 images" in capsys.readouterr().out


def test_a_picture_shows_what_its_titles_say(monkeypatch, tmp_path):
    def open_one(args, split):
        return examples_of([next(drawn_examples(first=1))])

    shown = {}

    def look(figure):
        panels = [axis for axis in figure.axes if axis.images]
        shown.update({axis.get_title(): axis.images[0].get_array() for axis in panels})

    monkeypatch.setattr(data, "open_dataset", open_one)
    monkeypatch.setattr(pictures.plt, "close", look)
    run_program("evaluate", "--data", "one", "--pictures", tmp_path)
    example = next(drawn_examples(first=1))
    truth = example["target"][..., 0]
    nearest = fill_unknown(example["target"])[1::4, 1::4, 0].repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(shown["guide"], example["image"])
    np.testing.assert_array_equal(shown["truth"].filled(np.nan), truth)
    np.testing.assert_array_equal(shown["low-res input"], nearest)
    np.testing.assert_array_equal(shown["nearest"], nearest)
    error = shown["error, nearest"].filled(np.nan)
    np.testing.assert_allclose(error, np.abs(nearest - truth), rtol=1e-6)


def test_what_cannot_be_evaluated_is_told(drawn, monkeypatch):
    with pytest.raises(UserError, match="^--bilateral 4 0.5 6: "):
        run_program("evaluate", "--data", "drawn", "--bilateral", 4, 0.5, 6)
    twice = examples_of(list(drawn_examples(1, first=7)) * 2)
    monkeypatch.setattr(data, "open_dataset", lambda args, split: twice)
    with pytest.raises(UserError, match="Two examples of the data set have the name scene 7"):
        run_program("evaluate", "--data", "twice")


def test_colors_of_flow():
    assert pictures.color_wheel().shape == (55, 3)
    flow = np.array([[[1.0, 0.0], [0.0, 0.0], [np.nan, 0.0], [-1.0, 0.0]]])
    right, rest, unknown, left = pictures.flow_to_rgb(flow, longest=1)[0]
    np.testing.assert_allclose(right, [1, 0, 0], atol=0.1)  # red
    np.testing.assert_array_equal(rest, [1, 1, 1])
    np.testing.assert_array_equal(unknown, [0, 0, 0])
    assert left[0] < 0.1 and left[2] > 0.9  # opposite: blue-green


def test_the_protocol_of_guided_depth_super_resolution(tmp_path, rng, capsys):
    """A size that the factor does not divide is cut; the whole of the rest counts."""
    folders = [tmp_path / "images", tmp_path / "targets"]
    for folder in folders:
        folder.mkdir()
    Image.fromarray(rng.integers(0, 255, (35, 46, 3), np.uint8)).save(folders[0] / "one.png")
    truth = rng.integers(1, 255, (35, 46), np.uint8)
    Image.fromarray(truth).save(folders[1] / "one.png")
    command = "evaluate --data folder --factor 4 --protocol gdsr".split()
    command += ["--data-dir", tmp_path / "tfds", "--images", folders[0], "--targets", folders[1]]
    run_program(*command, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["protocol"], report["low_res"], report["border"]) == ("gdsr", "pillow", 0)
    whole = Image.fromarray(truth[:32, :44].astype(np.float32))
    low = whole.resize((11, 8), Image.Resampling.BICUBIC)
    enlarged = np.asarray(low.resize((44, 32), Image.Resampling.BILINEAR))
    expected = np.sqrt(np.mean((enlarged - np.asarray(whole)) ** 2))
    assert report["methods"]["bilinear"]["mean"] == pytest.approx(expected, rel=1e-4)
    assert re.search(r"bicubic +[\d.]+ +1\.000", capsys.readouterr().out)
    with pytest.raises(UserError, match="no --low-res with it"):
        run_program(*command, "--low-res", "center")


@pytest.mark.parametrize(
    "low_res, told", [(None, "center"), ("last", "any"), ("bicubic", "average")]
)
def test_the_network_of_the_package_is_measured_and_told(
    drawn, tmp_path, monkeypatch, low_res, told
):
    seen = []

    def look(low, guide, low_res, network, **options):
        seen.append((low_res, network if network == "scenes" else type(network).__name__))
        return upsample(low, guide, low_res, network, **options)

    monkeypatch.setattr(evaluate, "upsample", look)
    command = ["evaluate", *"--data drawn --weights scenes --tell-low-res".split()]
    command += ["--low-res", low_res] * bool(low_res)
    run_program(*command, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["methods"]["scenes"]["mean"] < report["methods"]["nearest"]["mean"]
    assert set(seen) == {(told, "JointBilateralUpsample"), (told, "scenes")}

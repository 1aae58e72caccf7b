"""The joint upsampling program, on drawn scenes that stand in for a data set."""

import json
import signal
import socket
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from examples import files
from examples.joint_upsampling import __main__, data, evaluate, train
from examples.joint_upsampling.networks import make_network
from examples.scenes.drawing import draw_scene
from examples.training import checkpoints, command_line
from examples.training.errors import UserError
from examples.upsampling import low_resolution, metrics, pictures
from examples.upsampling.initial_weights import start_as_interpolation
from examples.upsampling.methods import upsample
from keras_pac.models import DJIF, JointBilateralUpsample, PacJointUpsample, PacJointUpsampleLite
from tests.support.full_disk import full_on_call
from tests.support.joint_upsampling_child import drawn_examples, open_drawn
from tests.support.paths import REFERENCE
from tests.support.processes import finish, start_python
from tests.support.run_logs import log_of

OPTIONS = (
    "train --data drawn --network PacJointUpsampleLite --crop 32 --batch-size 2 --schedule cosine "
    "--learning-rate 1e-3 --initial-weights interpolation"
).split()


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(data, "open_dataset", open_drawn)


def run_program(*arguments):
    """Run the program in this process, without the determinism that it cannot switch off again."""
    command_line.run_command(__main__.make_parser().parse_args([str(a) for a in arguments]))


def start_child(*arguments, **environment):
    return start_python("-m", "tests.support.joint_upsampling_child", *arguments, **environment)


def weights_of(folder):
    return keras.models.load_model(folder / "network.keras").get_weights()


# Help


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"]])
def test_every_command_has_a_help_page(command, capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main([*command, "--help"])
    assert end.value.code == 0
    assert "python -m examples.joint_upsampling" in capsys.readouterr().out


def test_the_defaults_are_the_paper_s_protocol():
    args = __main__.make_parser().parse_args(["train", "--data", "x", "--out", "y"])
    assert (args.learning_rate, args.batch_size, args.crop) == (1e-4, 1, 256)
    assert (args.epochs, args.schedule, args.loss, args.flips) == (5000, "steps", "l2", True)
    optimizer = train.make_optimizer(args, steps=5000)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 3499, 3501, 4499, 4501)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-5, 1e-5, 1e-6])


# Low-res images and errors


@pytest.fixture(scope="module")
def reference():
    return np.load(REFERENCE / "lowres_and_metrics.npz")


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("how", low_resolution.LOW_RES)
def test_low_resolution(reference, how, factor):
    low = low_resolution.low_resolution(reference["image"][..., None], factor, how)
    np.testing.assert_allclose(low[..., 0], reference[f"{how}_x{factor}"], atol=1e-12)


@pytest.mark.parametrize("metric", ["rmse", "epe"])
def test_metrics(reference, metric):
    pairs = zip(*(np.moveaxis(reference[name], 1, -1) for name in ("pred", "gt")))
    errors = [getattr(metrics, metric)(*pair) for pair in pairs]
    np.testing.assert_allclose(np.mean(errors), reference[metric], rtol=1e-12)


def test_epe_leaves_out_unknown_flow():
    truth = np.array([[[0.0, 0.0], [1e9, 1e9], [np.nan, 0.0]]])
    assert metrics.epe(np.array([[[3.0, 4.0]] * 3]), truth) == 5


def test_the_border_is_left_out():
    truth = np.zeros((6, 6, 1), np.float32)
    result = np.full_like(truth, 100)
    result[2:-2, 2:-2] = 3
    assert evaluate.error("rmse", result, truth, border=2) == 3
    with pytest.raises(UserError, match="border of 3"):
        evaluate.error("rmse", result, truth, border=3)


def test_a_size_that_the_factor_does_not_divide_is_padded_and_cropped_back():
    target = np.arange(7 * 9, dtype=np.float32).reshape(7, 9, 1)
    example = {"image": np.zeros((7, 9, 3), np.uint8), "target": target}
    guide, low = evaluate.low_res_example(example, 4, "center")
    assert guide.shape == (8, 12, 3)
    np.testing.assert_array_equal(low[..., 0], target[[1, 5]][:, [1, 5, 8], 0])
    assert low_resolution.crop_back(guide, target).shape == (7, 9, 3)


@pytest.mark.parametrize(
    "network",
    [
        lambda: PacJointUpsample(2),
        lambda: PacJointUpsample(4),
        lambda: PacJointUpsampleLite(8),
        lambda: PacJointUpsampleLite(16),
        lambda: DJIF(1),
        lambda: DJIF(4),
        lambda: JointBilateralUpsample(4, 9, 0.45, 6.0),
    ],
    ids=["pac_x2", "pac_x4", "lite_x8", "lite_x16", "djif_x1", "djif_x4", "bilateral_x4"],
)
def test_pieces_give_the_same_result_as_the_whole_image(network, rng):
    network = network()
    factor = network.factor
    low = rng.uniform(2, 9, (26, 33, 1)).astype(np.float32)
    guide = rng.integers(0, 256, (26 * factor, 33 * factor, 3), np.uint8)
    whole, pieces = (upsample(network, low, guide, tile) for tile in (None, 7))
    np.testing.assert_allclose(pieces, whole, atol=2e-5 * np.abs(whole).max())


def test_a_network_of_unknown_reach_gets_the_whole_image(rng):
    low = rng.uniform(2, 9, (6, 8, 1)).astype(np.float32)
    sizes = []

    def network(inputs, training):
        sizes.append([tensor.shape[1:3] for tensor in inputs])
        return np.repeat(np.repeat(inputs[0], 2, axis=1), 2, axis=2)

    result = upsample(network, low, np.zeros((12, 16, 3), np.uint8), tile=3)
    assert sizes == [[(6, 8), (12, 16)]]
    np.testing.assert_allclose(result[::2, ::2], low, rtol=1e-6)


# Training data


def sampler_of(images, crop=32, **options):
    options = {"factor": 4, "low_res": None, "flips": True, "jitter": False, "seed": 0, **options}
    return data.Sampler(images, crop=crop, **options)


@pytest.mark.parametrize("in_file", [False, True])
def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(in_file):
    images = data.read_images(data.checked(drawn_examples()), in_file)
    sampler = sampler_of(images)
    orders = [[int(i) for i in sampler.order.epoch(epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len(set(map(tuple, orders))) > 1
    for index in range(10):
        (low, guide, target), again = sampler(index), sampler_of(images)(index)
        assert (low.shape, guide.shape, target.shape) == ((8, 8, 1), (32, 32, 3), (32, 32, 1))
        for array, same in zip((low, guide, target), again):
            np.testing.assert_array_equal(array, same)
        assert np.isfinite(low).all() and np.isfinite(guide).all()
        known = np.isfinite(target[1::4, 1::4])
        np.testing.assert_array_equal(low[known], target[1::4, 1::4][known])


def test_a_mirrored_flow_points_the_other_way():
    target = np.zeros((32, 32, 2), np.float32)
    target[..., 0] = np.arange(32) / 31  # grows to the right, along the flow's direction
    target[..., 1] = np.arange(32)[:, None] / 31
    image = np.zeros((32, 32, 3), np.uint8)
    images = data.Images(["flow"], [image], [target], [None], 0)
    sampler = sampler_of(images, low_res="center")
    for index in range(16):
        _, _, flow = sampler(index)
        # In either mirror image, u still grows to the right and v downwards.
        assert (np.diff(flow[..., 0], axis=1) > 0).all() and (
            np.diff(flow[..., 1], axis=0) > 0
        ).all()


def test_workers_and_devices_share_the_examples_of_a_step():
    sampler = sampler_of(data.read_images(data.checked(drawn_examples())))

    def targets(pipelines, pipeline, replicas):
        context = tf.distribute.InputContext(pipelines, pipeline, replicas)
        batches = data.batches(sampler, 4, first_step=1, steps=3, context=context)
        return [target for _, target in batches.as_numpy_iterator()]

    alone = targets(1, 0, 1)
    assert [len(batch) for batch in alone] == [4, 4]
    on_devices = targets(1, 0, 2)
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(on_devices))
    workers = [targets(2, worker, 2) for worker in range(2)]
    for batch, *shares in zip(alone, *workers, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(shares))


def test_unknown_pixels_do_not_count_in_the_loss():
    target = np.array([[[[1.0], [np.nan]]], [[[np.nan], [np.nan]]]], np.float32)
    output = tf.constant([[[[3.0], [9.0]]], [[[9.0], [9.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(output)
        losses = train.example_losses(output, tf.constant(target), "l2")
    np.testing.assert_array_equal(losses, [4, 0])
    gradient = tape.gradient(losses, output)
    np.testing.assert_array_equal(tf.reshape(gradient, -1), [4, 0, 0, 0])


def broken_examples(**changes):
    for example in drawn_examples(2):
        yield {**example, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.zeros((48, 40, 1), np.float32)}, "scene 0: the image has 48x48 .* 48x40"),
        ({"target": np.full((48, 48, 1), np.nan)}, "scene 0: every pixel .* unknown"),
    ],
)
def test_an_example_that_does_not_fit_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        data.read_images(data.checked(broken_examples(**changes)))


def test_a_crop_must_fit_the_images_and_the_factor():
    images = data.read_images(data.checked(drawn_examples()))
    with pytest.raises(UserError, match="scene 0 has 48x48 pixels, less than the crop of 64"):
        sampler_of(images, crop=64)
    with pytest.raises(UserError, match="multiple of the factor"):
        sampler_of(images, crop=30)


# Training


def test_a_training_writes_its_logs_and_its_network(drawn, tmp_path):
    options = ["--steps", 6, "--save-every", 4, "--validation", "test", "--out", tmp_path / "run"]
    run_program(*OPTIONS, *options)
    steps = [row[0] for row in log_of(tmp_path / "run")]
    assert steps == ["step", "4", "6"]
    assert float(log_of(tmp_path / "run")[-1][-1]) > 0  # the validation
    events = list((tmp_path / "run" / "tensorboard").iterdir())
    records = list(tf.data.TFRecordDataset([str(path) for path in events]))
    assert len(records) > 2 * 4
    network = keras.models.load_model(tmp_path / "run" / "network.keras")
    assert network.factor == 4 and network.count_params() == 55509

    with pytest.raises(UserError, match="--resume"):
        run_program(*OPTIONS, *options)
    written = (tmp_path / "run" / "network.keras").stat().st_mtime_ns
    run_program(*OPTIONS, *options, "--resume")  # nothing is left to do
    assert (tmp_path / "run" / "network.keras").stat().st_mtime_ns == written


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """The folder of a training of one step, to read from."""
    folder = tmp_path_factory.mktemp("short_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "open_dataset", open_drawn)
        run_program(*OPTIONS, "--steps", 1, "--out", folder)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--network", "PacJointUpsample"], "network is 'PacJointUpsampleLite' there"),
        (["--factor", "8"], "factor is 4 there and 8 here"),
        (["--learning-rate", "0.5"], "learning_rate is 0.001 there and 0.5 here"),
        (["--seed", "7"], "seed is 0 there and 7 here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(drawn, short_run, change, message):
    before = (short_run / "checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS, "--steps", 1, "--out", short_run, "--resume", *change)
    assert (short_run / "checkpoint.npz").read_bytes() == before


def test_a_truncated_checkpoint_is_named(drawn, short_run, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes((short_run / "checkpoint.npz").read_bytes()[:-1000])
    with pytest.raises(UserError, match="checkpoint.npz is no checkpoint that can be read"):
        run_program(*OPTIONS, "--steps", 1, "--out", tmp_path, "--resume")


def test_a_full_disk_leaves_the_last_checkpoint(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez", full_on_call(2, np.savez))
    with pytest.raises(UserError, match="No space is left on the disk.*--resume"):
        run_program(*OPTIONS, "--steps", 3, "--save-every", 1, "--out", tmp_path)
    assert checkpoints.load_checkpoint(tmp_path / "checkpoint.npz").step == 1
    assert not checkpoints.stale_files(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(data, "open_dataset", open_drawn)
    run_program(*OPTIONS, "--steps", 3, "--save-every", 1, "--out", tmp_path, "--resume")
    assert [row[0] for row in log_of(tmp_path)[1:]] == ["1", "2", "3"]


def test_djif_cannot_start_as_interpolation(drawn, tmp_path):
    with pytest.raises(UserError, match="DJIF cannot start as interpolation"):
        run_program(*OPTIONS, "--network", "DJIF", "--steps", 1, "--out", tmp_path)


def test_a_training_starts_where_another_ended(short_run):
    path = short_run / "network.keras"
    network = make_network("PacJointUpsampleLite", 4, initial_weights=path)
    for weight, trained in zip(network.weights, keras.models.load_model(path).weights):
        np.testing.assert_array_equal(weight, trained)
    with pytest.raises(UserError, match="is a PacJointUpsampleLite ×4, not a DJIF ×4"):
        make_network("DJIF", 4, initial_weights=path)
    with pytest.raises(UserError, match="not a PacJointUpsampleLite ×8"):
        make_network("PacJointUpsampleLite", 8, initial_weights=path)
    with pytest.raises(UserError, match="bilinear is no trained network"):
        make_network("DJIF", 8, initial_weights="bilinear")


@pytest.mark.slow
def test_a_killed_and_resumed_training_ends_with_the_same_bits(tmp_path):
    options = [*OPTIONS, "--steps", 30, "--save-every", 3]
    finish(start_child(*options, "--out", tmp_path / "whole"))
    killed = start_child(*options, "--out", tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "checkpoint.npz").exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    time.sleep(0.05)  # into the steps after the checkpoint
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    step = checkpoints.load_checkpoint(tmp_path / "killed" / "checkpoint.npz").step
    assert step < 30
    (tmp_path / "killed" / ".checkpoint.npz.1.partial").write_bytes(b"half")
    output = finish(start_child(*options, "--out", tmp_path / "killed", "--resume"))
    assert f"steps {step + 1} to 30" in output
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    for resumed, whole in zip(*(weights_of(tmp_path / name) for name in ("killed", "whole"))):
        np.testing.assert_array_equal(resumed, whole)
    assert not checkpoints.stale_files(tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(drawn, tmp_path, precision):
    run_program(*OPTIONS, "--steps", 3, "--out", tmp_path, "--precision", precision)
    assert all(weight.dtype == np.float32 for weight in weights_of(tmp_path))
    assert np.isfinite(float(log_of(tmp_path)[-1][3]))


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    options = [*OPTIONS, "--steps", 4, "--save-every", 2]
    for devices in (1, 2):
        finish(start_child(*options, "--out", tmp_path / str(devices), "--devices", devices))
    assert_nearly_equal_weights(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_two_workers_train_as_one(tmp_path):
    options = [*OPTIONS, "--steps", 4, "--save-every", 2]
    finish(start_child(*options, "--out", tmp_path / "alone"))
    run_workers(*options, "--out", tmp_path / "both")
    assert_nearly_equal_weights(tmp_path / "alone", tmp_path / "both")


def run_workers(*options):
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two)]
    children = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        children.append(start_child(*options, "--workers", TF_CONFIG=json.dumps(config)))
    try:
        for child in children:
            finish(child)
    finally:
        for child in children:
            child.kill()


def assert_nearly_equal_weights(folder, other):
    """Sums over devices have another order: float32 rounding, enlarged by Adam's division."""
    for one, two in zip(weights_of(folder), weights_of(other)):
        np.testing.assert_allclose(one, two, atol=1e-4)


# Folders


def write_pairs(folder, count=3, size=48):
    """Folders of PNGs as a person has them; 0 means unknown."""
    for number in range(count):
        image, disparity = draw_scene(np.random.default_rng(number), size)
        for name, array in (("rgb", image), ("depth", (100 * disparity).astype(np.uint16))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"{number}.png")
    return ["--data", "folder", "--images", folder / "rgb", "--targets", folder / "depth"]


def test_folders_of_pairs(tmp_path, capsys):
    pairs = [*write_pairs(tmp_path / "pairs"), "--data-dir", tmp_path / "prepared"]
    pairs += ["--unknown", 0, "--target-scale", 0.01]
    run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], "--steps", 1, "--out", tmp_path / "run")
    weights = tmp_path / "run" / "network.keras"
    run_program("evaluate", *pairs, "--weights", weights)
    assert "RMSE, mean of 3 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "1.png has no partner"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "depth/1.png"),
        (lambda path: path.write_bytes(b""), "depth/1.png"),
        (lambda path: Image.new("L", (48, 40), 7).save(path), "48, 48.*40, 48"),
    ],
    ids=["missing", "truncated", "empty", "size"],
)
def test_damaged_files_stop_the_program_before_training(tmp_path, damage, message):
    pairs = [*write_pairs(tmp_path / "pairs"), "--data-dir", tmp_path / "prepared"]
    damage(tmp_path / "pairs" / "depth" / "1.png")
    with pytest.raises(UserError, match=message):
        run_program(*OPTIONS[:1], *pairs, *OPTIONS[3:], "--steps", 1, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Prediction


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


# Evaluation


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
    low = low_resolution.fill_unknown(truth)[1::4, 1::4]
    nearest = low.repeat(4, 0).repeat(4, 1)
    squared = ((nearest - truth)[2:-2, 2:-2].astype(np.float64)) ** 2
    expected = 100 * np.sqrt(np.nanmean(squared))
    errors = report["methods"]["nearest"]["images"]
    np.testing.assert_allclose(errors["scene 100"], expected, rtol=1e-6)
    assert len(errors) == 5
    assert report["methods"]["nearest"]["mean"] == pytest.approx(np.mean(list(errors.values())))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["scene 100.png"]
    assert "of bilinear" in capsys.readouterr().out


def test_evaluation_refuses_a_network_of_another_factor_and_broken_files(drawn, tmp_path):
    DJIF(8).save(tmp_path / "djif.keras")
    with pytest.raises(UserError, match="djif.keras upsamples ×8, not ×4"):
        run_program("evaluate", "--data", "drawn", "--weights", tmp_path / "djif.keras")
    (tmp_path / "broken.keras").write_bytes((tmp_path / "djif.keras").read_bytes()[:5000])
    with pytest.raises(UserError, match="broken.keras is no trained network"):
        run_program("evaluate", "--data", "drawn", "--weights", tmp_path / "broken.keras")


def test_flow_is_measured_by_epe_and_drawn_in_the_color_wheel(monkeypatch, tmp_path, capsys):
    def open_flow(args, split):
        return data.checked(drawn_examples(2, channels=2))

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

"""The benchmark programs run, on small images."""

import json
import re
from time import sleep

import numpy as np
import pytest

import keras_pac
from benchmarks import bounds, timing
from benchmarks.suite import BESIDE, SUITE, Case
from keras_pac.layers import PixelAdaptiveRefinement
from tests.support.processes import run_python
from tests.support.tolerances import assert_close

# Large enough to be seen in the memory of a process.
SMALL = Case("small", 1, 128, 128, 16, 8, 2, 3, strides=2, layer="PacConv2DTranspose")
POOLING = Case("pooling", 1, 16, 16, 4, 4, 2, 3, layer="PacPool2D", dtype="mixed_bfloat16")


@pytest.mark.slow
def test_report(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    from benchmarks import run

    # "taps", and the compiled op where it is built.
    names = [name for name in run.parse_arguments([], [SMALL]).implementations if name != "patches"]
    arguments = ["--quick", "--implementations", *names, "--output", str(tmp_path)]
    run.main(arguments, suite=[SMALL], beside=[POOLING])
    report = json.loads((tmp_path / "benchmarks.json").read_text())
    times, memory = {"forward_ms", "training_step_ms"}, {"peak_memory_mib"}
    assert set(report["cases"]["pooling"]) == times
    assert set(report["cases"]["small"]) == times | memory
    assert set(report["geometric_mean_of_ratios"]) == times | memory
    for quantity, measured in report["cases"]["small"].items():
        bound = {"bound"} if quantity in times else set()
        assert set(measured) == {"keras", *names} | bound and min(measured.values()) > 0
        for name in names:
            mean = report["geometric_mean_of_ratios"][quantity][name]
            assert mean == pytest.approx(measured[name] / measured["keras"])
    assert (tmp_path / "benchmarks.png").stat().st_size > 0
    printed = capsys.readouterr().out
    assert "Geometric mean" in printed
    assert ("compiled" in names) == ("compiled_op" in report) == ("runs with: " in printed)


def test_bounds_by_hand():
    # 6 outputs, 9 taps each; half the pairs of pixels need a K of their own.
    case = Case("case", 1, 2, 3, channels=4, filters=5, guide_channels=6, kernel_size=3)
    rates = {"bytes": 1e3, "products": 1e6, "exponentials": 1e6}
    numbers = 6 * 4 + 6 * 6 + 6 * 5 + 9 * 4 * 5
    assert bounds.lower_bound_ms(case, rates) == {
        "forward_ms": pytest.approx(4 * numbers),
        "training_step_ms": pytest.approx(2 * 4 * numbers),
    }
    rates["bytes"] = 1e9
    times = bounds.lower_bound_ms(case, rates)
    assert times["forward_ms"] == pytest.approx(1e-3 * (54 * 20 + 54 * 4 + 27 * 6 + 27))
    backward = 3 * (54 * 20 + 54 * 4) + 2 * 27 * 6 + 27
    assert times["training_step_ms"] == pytest.approx(1e-3 * backward)


def test_rates_are_positive():
    assert min(bounds.rates().values()) > 0


@pytest.mark.slow
def test_small_calls_table(capsys):
    from benchmarks import small_calls

    small_calls.main(["--quick"])
    printed = capsys.readouterr().out
    for label in ("eagerly", "in a function"):
        assert re.search(rf"^{label} +keras +\d+ ", printed, re.MULTILINE)


@pytest.mark.slow
def test_threads_table(capsys):
    from benchmarks import threads

    # By default the compiled op, where it is built.
    threads.main(["--quick", "--implementations", "taps"], suite=SUITE[:1])
    printed = capsys.readouterr().out
    assert re.search(r"^upsample-128 +keras \S+ +taps \S+$", printed, re.MULTILINE)
    assert re.search(r"^upsample-128 +taps \S+$", printed, re.MULTILINE)


def test_what_can_run_is_measured():
    pytest.importorskip("matplotlib")
    from benchmarks import run

    chosen = run.parse_arguments([], [SMALL]).implementations
    assert {"patches", "taps"} <= set(chosen)
    assert ("compiled" in chosen) == (not keras_pac.not_supported_reasons("compiled"))


@pytest.mark.slow
@pytest.mark.parametrize("installed", [False, True])
def test_crf_table(installed, capsys, monkeypatch):
    from benchmarks import crf

    monkeypatch.setattr(crf, "STEPS", 2)
    full_crf = (lambda: sleep(0.02)) if installed else None
    monkeypatch.setattr(crf, "full_crf_of", lambda *arrays: full_crf)
    crf.main(["--quick"], size=(24, 32))
    printed = capsys.readouterr().out
    assert ("times the Full-CRF" in printed) == installed
    assert ("pydensecrf is not installed" in printed) != installed
    names = crf.parse_arguments([]).implementations
    for name in crf.CRFS:
        (row,) = re.findall(rf"^{name}  +(.*)$", printed, re.MULTILINE)
        times = [float(time) for time in re.findall(r"(\S+) ms", row)]
        ratios = [float(ratio) for ratio in re.findall(r"\((\S+)\)", row)]
        assert len(times) == 2 * len(names) + installed
        assert len(ratios) == len(names) * installed
        for time, ratio in zip(times, ratios):
            assert ratio == pytest.approx(time / times[-1], abs=0.02)


def test_the_full_crf_runs():
    pytest.importorskip("pydensecrf")
    from benchmarks import crf

    image = np.random.default_rng(0).random((1, 8, 9, 3), "float32")
    q = crf.full_crf_of(image, image)()
    assert q.shape == (8, 9, 3)
    assert_close(q.sum(-1), np.ones((8, 9)), "float32")


@pytest.mark.slow
def test_refinement_table(capsys, monkeypatch):
    from benchmarks import refinement

    monkeypatch.setattr(refinement, "ITERATIONS", 1)
    refinement.main(["--quick"], size=(40, 48))
    printed = capsys.readouterr().out
    for name in ("plain", *refinement.parse_arguments([]).implementations):
        assert re.search(rf"^{name} +\S+ ms \(\S+\) +\d+ MiB \(\S+\)$", printed, re.MULTILINE)


def test_the_plain_refinement_is_that_of_the_layer(rng):
    from benchmarks import refinement

    mask, image = rng.random((1, 9, 8, 2), "float32"), rng.random((1, 9, 8, 3), "float32")
    layer = PixelAdaptiveRefinement(refinement.DILATION_RATES, refinement.ITERATIONS)
    assert_close(refinement.plain(mask, image), layer([mask, image]), "float32")


@pytest.mark.parametrize("case", [SMALL, *SUITE, *BESIDE], ids=lambda case: case.name)
def test_both_layers_of_a_case_have_the_same_weights_and_output(case):
    keras_layer, pac_layer = timing.keras_layer(case), timing.pac_layer(case)
    if not case.options:  # a shared filter has fewer weights, the inverse kernel two more
        assert [w.shape for w in pac_layer.weights] == [w.shape for w in keras_layer.weights]
    pac_output = pac_layer.compute_output_shape([case.input_shape, case.guide_shape])
    assert tuple(pac_output) == case.output_shape
    assert tuple(keras_layer.compute_output_shape(case.input_shape)) == case.output_shape


@pytest.mark.slow
def test_another_backend_is_timed(tmp_path):
    pytest.importorskip("jax")
    pytest.importorskip("matplotlib")
    names = ["--cases", "transposed", "--quick", "--output", str(tmp_path)]
    process = run_python("-m", "benchmarks.run", *names, KERAS_BACKEND="jax")
    assert process.returncode == 0, process.stdout + process.stderr
    report = json.loads((tmp_path / "benchmarks.json").read_text())
    assert report["machine"]["backend"].startswith("jax ")
    assert set(report["cases"]["transposed"]) == {"forward_ms", "training_step_ms"}
    for times in report["cases"]["transposed"].values():
        assert {"keras", "taps"} <= set(times) and min(times.values()) > 0

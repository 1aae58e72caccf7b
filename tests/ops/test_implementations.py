"""Which implementation runs: choosing, refusing, reporting."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import keras_pac
from keras_pac.ops._implementations import NAMES
from tests.support.implementations import IMPLEMENTATIONS
from tests.support.processes import output_of, run_python

SHOW = "import keras_pac; print(keras_pac.get_implementation())"


@pytest.fixture(autouse=True)
def back_to_auto():
    """Leave no choice behind."""
    yield
    keras_pac.set_implementation("auto")


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_set_implementation(name):
    keras_pac.set_implementation(name)
    assert keras_pac.get_implementation() == name


def test_auto_is_one_that_can_run():
    keras_pac.set_implementation("auto")
    assert keras_pac.not_supported_reasons(keras_pac.get_implementation()) == []


def test_the_context_manager_restores_what_was_chosen_before():
    keras_pac.set_implementation("patches")
    with keras_pac.implementation("taps"):
        assert keras_pac.get_implementation() == "taps"
        with keras_pac.implementation("patches"):
            assert keras_pac.get_implementation() == "patches"
        assert keras_pac.get_implementation() == "taps"
    assert keras_pac.get_implementation() == "patches"


def test_the_context_manager_restores_after_an_error():
    keras_pac.set_implementation("patches")
    with pytest.raises(KeyError), keras_pac.implementation("taps"):
        raise KeyError
    assert keras_pac.get_implementation() == "patches"


def test_the_context_manager_is_for_its_own_thread():
    with keras_pac.implementation("patches"), ThreadPoolExecutor(1) as pool:
        assert keras_pac.get_implementation() == "patches"
        assert pool.submit(keras_pac.get_implementation).result() != "patches"


def test_info_says_what_a_wrong_environment_variable_names():
    process = run_python("-m", "keras_pac.info", KERAS_PAC_IMPLEMENTATION="tap")
    assert process.returncode == 0, process.stderr
    assert "none: KERAS_PAC_IMPLEMENTATION" in process.stdout and "'tap'" in process.stdout


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="(?s)must be one of.*'taps'.*Received.*'tap'"):
        keras_pac.set_implementation("tap")
    with pytest.raises(ValueError, match="(?s)must be one of.*Received.*'tap'"):
        keras_pac.not_supported_reasons("tap")


def test_one_that_can_not_run_is_refused_with_its_reasons():
    keras_pac.set_implementation("taps")
    unsupported = [name for name in NAMES if keras_pac.not_supported_reasons(name)]
    assert set(unsupported).isdisjoint(IMPLEMENTATIONS)
    for name in unsupported:
        with pytest.raises(ValueError) as error:
            keras_pac.set_implementation(name)
        assert name in str(error.value)
        for reason in keras_pac.not_supported_reasons(name):
            assert reason in str(error.value)
    assert keras_pac.get_implementation() == "taps"


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_the_environment_variable_chooses(name):
    assert output_of(SHOW, KERAS_PAC_IMPLEMENTATION=name).split() == [name]


def test_a_wrong_environment_variable_is_named():
    process = run_python("-c", SHOW, KERAS_PAC_IMPLEMENTATION="tap")
    assert process.returncode != 0
    assert "KERAS_PAC_IMPLEMENTATION" in process.stderr
    assert "'tap'" in process.stderr


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_info_names_what_runs(name):
    process = run_python("-m", "keras_pac.info", KERAS_PAC_IMPLEMENTATION=name)
    assert process.returncode == 0, process.stderr
    for other in NAMES:
        assert other in process.stdout
    chosen = [line for line in process.stdout.splitlines() if line.startswith("in use")]
    assert len(chosen) == 1
    assert name in chosen[0] and "KERAS_PAC_IMPLEMENTATION" in chosen[0]

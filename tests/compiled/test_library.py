"""Which libraries of the compiled op are loaded, and what is said of those that are not."""

import hashlib
import json

import pytest
import tensorflow as tf

import keras_pac
from keras_pac.ops._implementations import library

ADAPTER = library.tensorflow_adapter(tf.__version__)
MENDED_BY = "`python -m keras_pac.build` builds it"


@pytest.fixture(autouse=True)
def fresh_caches():
    """Nothing is known about libraries, before and afterwards."""
    caches = library.load, library.chosen_folder, library.has_cuda, library.warn_if_refused
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the package's libraries; that of the user's cache is beside it."""
    monkeypatch.setattr(library, "FOLDER", tmp_path / "package")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "package").mkdir()
    return tmp_path / "package"


def write_libraries(folder, core=(), adapter=()):
    """Files like libraries, which say that they fit, but for the changes."""
    folder.mkdir(parents=True, exist_ok=True)
    common = {"keras_pac": keras_pac.__version__, "bytes": 10}
    common["sha256"] = hashlib.sha256(b"no library").hexdigest()
    infos = {
        library.CORE: {**common, "state": "a", "sources": library.checksum_of_sources()},
        ADAPTER: {**common, "tensorflow": tf.__version__, "core": "a"},
    }
    for (name, info), changes in zip(infos.items(), (core, adapter)):
        (folder / name).write_bytes(b"no library")
        (folder / name).with_suffix(".json").write_text(json.dumps({**info, **dict(changes)}))


def reason():
    (sentence,) = keras_pac.not_supported_reasons("compiled")
    return sentence


def test_a_library_that_is_not_built_is_no_warning(folder, recwarn):
    assert reason() == f"the compiled op is not built: {MENDED_BY}."
    with keras_pac.implementation("auto"):
        assert keras_pac.get_implementation() == "taps"
    assert not recwarn.list
    with pytest.raises(ValueError, match="not built"):
        keras_pac.set_implementation("compiled")


def test_without_a_compiler_that_is_what_is_missing(folder, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert "once there is a C++ compiler (no-such-compiler)" in reason()


def test_a_library_for_other_versions_of_tensorflow_is_told(folder):
    write_libraries(folder)
    for version in ("1.15", "1.9"):
        (folder / ADAPTER).rename(folder / library.tensorflow_adapter(version))
        (folder / ADAPTER).write_bytes(b"")
    (folder / ADAPTER).unlink()
    expected = f"for TensorFlow 1.9, 1.15, and this is {tf.__version__}: {MENDED_BY}."
    assert reason().endswith(expected)


def test_a_library_for_another_patch_of_this_minor_version_fits(folder):
    """So it is tried, and fails only since these bytes are no library."""
    minor = ".".join(tf.__version__.split(".")[:2])
    write_libraries(folder, adapter={"tensorflow": f"{minor}.99"})
    assert "can't be loaded" in reason()


def test_a_library_of_another_keras_pac_is_refused_and_reported_once(folder):
    write_libraries(folder, core={"keras_pac": "1.2.3"})
    assert "1.2.3" in reason() and f"{MENDED_BY} again" in reason()
    with keras_pac.implementation("auto"):
        with pytest.warns(UserWarning, match="1.2.3") as warnings:
            assert keras_pac.get_implementation() == "taps"
            assert keras_pac.get_implementation() == "taps"
    assert len(warnings) == 1
    with pytest.raises(ValueError, match="1.2.3"):
        keras_pac.set_implementation("compiled")


@pytest.mark.parametrize("name", [library.CORE, ADAPTER])
def test_a_library_that_says_nothing_about_itself_is_refused(folder, name):
    write_libraries(folder)
    info = (folder / name).with_suffix(".json")
    for text in ("", "[]", "{", None):
        info.unlink() if text is None else info.write_text(text)
        library.load.cache_clear()
        assert info.name in reason() and MENDED_BY in reason()


def test_a_library_that_was_cut_off_is_refused(folder):
    """Loading it would crash the process."""
    write_libraries(folder, adapter={"bytes": 11})
    assert f"{ADAPTER} has 10 bytes, and 11 were built" in reason()
    library.load.cache_clear()
    write_libraries(folder)
    (folder / library.CORE).unlink()
    assert f"{library.CORE} has no bytes, and 10 were built" in reason()


@pytest.mark.parametrize("name", [library.CORE, ADAPTER])
def test_a_library_with_other_bytes_of_the_same_number_is_refused(folder, name):
    """Loading it would crash the process, too."""
    write_libraries(folder)
    (folder / name).write_bytes(b"no lib" + bytes(4))
    assert f"{name} is not as it was built: {MENDED_BY} again." in reason()


def test_an_adapter_for_another_core_is_refused(folder):
    write_libraries(folder, core={"state": "b"})
    assert f"{ADAPTER} was built for another {library.CORE}" in reason()


def test_the_error_of_a_broken_library_is_shown(folder):
    write_libraries(folder)
    assert "can't be loaded" in reason() and ADAPTER in reason()


def test_what_the_user_built_of_these_sources_comes_first(folder):
    write_libraries(folder)
    write_libraries(library.cache_folder())
    assert library.chosen_folder() == library.cache_folder()


@pytest.mark.parametrize("core", [{"sources": "other"}, {"keras_pac": "1.2.3"}, {"bytes": 11}])
def test_what_the_user_built_otherwise_is_passed_over(folder, core):
    write_libraries(folder)
    write_libraries(library.cache_folder(), core=core)
    assert library.chosen_folder() == folder


def test_what_is_damaged_in_the_cache_is_named_where_nothing_else_is_there(folder):
    write_libraries(library.cache_folder(), core={"bytes": 11})
    for path in folder.iterdir():
        path.unlink()
    assert library.chosen_folder() == library.cache_folder()
    assert f"{library.CORE} has" in reason()


def test_a_cache_that_cannot_be_read_is_passed_over(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "x" * 300)  # no file can have this name, not for root
    assert reason() == f"the compiled op is not built: {MENDED_BY}."


def test_without_a_home_the_libraries_of_the_package_are_found(folder, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(library.pathlib.Path, "home", no_home)
    write_libraries(folder, core={"keras_pac": "1.2.3"})
    assert "1.2.3" in reason()

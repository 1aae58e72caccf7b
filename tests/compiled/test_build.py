"""What `python -m keras_pac.build` does where it can't build, and where it can."""

import shutil
import stat

import pytest
import tensorflow as tf

from keras_pac import build
from keras_pac.ops._implementations import library
from tests.support.processes import finish, output_of, run_python, start_python


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def failed_build(tmp_path, *arguments, **environment):
    """The error output of a build that must fail, and leave nothing behind."""
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
    process = run_python("-m", "keras_pac.build", *arguments, **environment)
    assert process.returncode == 1, process.stdout
    assert "The portable code runs without it." in process.stderr
    assert "Traceback" not in process.stderr
    assert not list((tmp_path / "cache" / "keras_pac").rglob("*"))
    return process.stdout + process.stderr


def test_without_a_compiler(tmp_path):
    output = failed_build(tmp_path, CXX="no-such-compiler")
    assert "there is no C++ compiler 'no-such-compiler'; CXX names another" in output


def test_a_compiler_that_fails_half_way(tmp_path):
    """The first file compiles; what it printed about the next is shown."""
    once = tmp_path / "once"
    text = (
        f'[ "$1" = --version ] && exec g++ --version; [ -e {once} ] && echo no more >&2 && exit 3'
    )
    compiler = script(tmp_path / "c++", f'{text}; touch {once}; exec g++ -O0 "$@"')
    output = failed_build(tmp_path, CXX=compiler, KERAS_PAC_BUILD_JOBS="1")
    assert "no more" in output and "failed with status 3" in output


@pytest.mark.slow
def test_a_linker_that_fails_leaves_nothing_behind(tmp_path):
    text = 'case "$*" in *-shared*) echo no linker >&2; exit 1;; esac; exec g++ "$@" -O0'
    output = failed_build(tmp_path, CXX=script(tmp_path / "c++", text))
    assert "no linker" in output and "failed with status 1" in output


def test_a_home_that_is_read_only(tmp_path):
    output = failed_build(tmp_path, XDG_CACHE_HOME="/proc")  # where root can't write either
    assert "was not built: [Errno" in output and "/proc/keras_pac" in output


def test_a_cache_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    assert "Not a directory" in failed_build(tmp_path, XDG_CACHE_HOME=str(tmp_path / "file"))


@pytest.mark.skipif(shutil.which(build.core.cxx()[0]) is None, reason="there is no C++ compiler")
def test_a_file_is_not_compiled_again_since_another_one_has_changed(tmp_path, capsys):
    """The library is linked again, as it says of which sources it is."""
    source = tmp_path / "one.cc"
    source.write_text("int one() { return 1; }")
    step = build.core.Step(source, "one", [*build.core.cxx(), "-fPIC"])
    for sources, compiled in (("a", True), ("b", False), ("b", None)):
        about = {"sources": sources}
        paths = tmp_path / "one.so", tmp_path / "objects"
        changed = build._build_library(*paths, [step], lambda: ([], []), about)
        assert changed == (compiled is not None)
        assert ("compiling one" in capsys.readouterr().out) == bool(compiled)


def test_an_official_wheel_is_compiled_for_as_the_installed_one(tmp_path):
    """The flags of a wheel that was unpacked are those that its TensorFlow gives."""
    installed = build.installed_tensorflow()
    assert installed.version == tf.__version__
    folder = build.pathlib.Path(tf.__file__).parent
    assert build.unpacked_tensorflow(tf.__version__, folder).flags() == installed.flags()


USE = """
import keras_pac, numpy as np
from keras_pac.ops._implementations import library
print(keras_pac.get_implementation(), library.chosen_folder())
print(keras_pac.PacConv2D(2, 3, kernel_initializer="ones")(np.ones((1, 4, 5, 1), "f4"))[0, 1, 1])
"""


@pytest.mark.slow
def test_two_processes_build_at_once_and_the_op_is_found(tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    both = [start_python("-m", "keras_pac.build", **environment) for _ in range(2)]
    outputs = sorted(finish(process, timeout=400).splitlines()[-1] for process in both)
    assert outputs == ["The compiled op is built.", "The compiled op is up to date."]
    chosen, *result = output_of(USE, **environment).splitlines()
    assert chosen.split() == ["compiled", str(tmp_path / "keras_pac" / library.__version__)]
    assert "[9. 9.]" in result[0]

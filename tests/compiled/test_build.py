"""What `python -m keras_pac.build` does where it can't build, and where it can."""

import errno
import shutil
import stat
import threading

import pytest
import tensorflow as tf

from custom_ops.build import core
from keras_pac import build
from keras_pac.ops._implementations import library
from tests.support.processes import finish, output_of, run_python, start_python


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def failed_build(tmp_path, *arguments, **environment):
    """The error output of a build that must fail, and leave nothing behind."""
    (tmp_path / "tmp").mkdir()
    folders = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    process = run_python("-m", "keras_pac.build", *arguments, **{**folders, **environment})
    assert process.returncode == 1, process.stdout
    assert "The portable code runs without it." in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "cache" / "keras_pac").exists()  # Keras's matplotlib has its cache there
    assert not list((tmp_path / "tmp").iterdir())
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


# Makes the file that `-o` or `-MF` names; from the call that FAIL names on, only half of it.
TOOL = """
[ "$1" = --version ] && echo a compiler && exit
case " $* " in *" -E "*) exit;; esac
echo >> "$CALLS"
[ $(wc -l < "$CALLS") -ge "$FAIL" ] && half=yes
while [ $# -gt 0 ]; do
    case "$1" in -o|-MF) printf x: > "$2"; last="$2"; esac
    shift
done
[ -n "$half" ] && echo no more >&2 && exit 3 || printf rest >> "${last:-/dev/null}"
"""


@pytest.fixture
def build_failing_on_call(tmp_path, monkeypatch):
    """A build whose compiler, linker and objcopy fail from a call on, in `tmp_path / "home"`."""
    for variable in ("CXX", "LD", "OBJCOPY"):
        monkeypatch.setenv(variable, script(tmp_path / "tool", TOOL))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("KERAS_PAC_BUILD_JOBS", "1")
    monkeypatch.delenv("KERAS_PAC_CUDA", raising=False)
    tensorflow = build.tensorflow_adapter("9.8.7", lambda: ([], []))

    def run(number):
        (tmp_path / "calls").unlink(missing_ok=True)
        monkeypatch.setenv("FAIL", str(number))
        return build.build(tmp_path / "home" / "cache", None, [tensorflow])

    return run


def test_whichever_call_of_a_tool_fails_nothing_is_left_behind(tmp_path, build_failing_on_call):
    number = 1
    while True:
        try:
            assert build_failing_on_call(number)
        except build.BuildError as error:
            assert "failed with status 3" in str(error)
            assert not (tmp_path / "home").exists(), number
            number += 1
        else:
            break
    assert number > 10
    names = {path.name for path in (tmp_path / "home" / "cache").iterdir()}
    stems = library.CORE[:-3], library.tensorflow_adapter("9.8")[:-3]
    assert names == {stem + suffix for stem in stems for suffix in (".so", ".json")}


def test_a_build_that_fails_leaves_the_libraries_that_were_there(
    tmp_path, build_failing_on_call, monkeypatch
):
    build_failing_on_call(100)

    def files():
        return {path: path.read_bytes() for path in (tmp_path / "home").rglob("*.*")}

    before = files()
    calls = len((tmp_path / "calls").read_text())
    assert not build_failing_on_call(1)  # all is up to date
    monkeypatch.setattr(library, "checksum_of_sources", lambda: "other")
    with pytest.raises(build.BuildError):
        build_failing_on_call(calls)  # the last, when the core is complete
    assert files() == before and len(before) == 4


@pytest.mark.parametrize("damage", [lambda text: text[:5], lambda text: bytes(len(text))])
def test_a_library_that_is_damaged_is_built_again(tmp_path, build_failing_on_call, damage):
    """The reason why it is not loaded says so."""
    assert build_failing_on_call(100)
    path = tmp_path / "home" / "cache" / library.CORE
    path.write_bytes(damage(path.read_bytes()))
    assert build_failing_on_call(100)
    assert library.damaged(path, library.read_info(path)) is None


def test_a_disk_that_fills_up_while_the_last_file_is_written(
    tmp_path, build_failing_on_call, monkeypatch
):
    write = build.pathlib.Path.write_text

    def write_or_fail(path, text):
        if path.name == library.tensorflow_adapter("9.8").replace(".so", ".json"):
            write(path, text[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text)

    monkeypatch.setattr(build.pathlib.Path, "write_text", write_or_fail)
    with pytest.raises(OSError, match="No space left"):
        build_failing_on_call(100)
    assert not (tmp_path / "home").exists()


def test_no_space_for_an_object_file(tmp_path):
    """A limit of the size of files, since a test can't fill a disk: the compiler ends the same."""
    compiler = script(tmp_path / "c++", 'ulimit -f 1; exec g++ -O0 "$@"')
    output = failed_build(tmp_path, CXX=compiler)
    assert "the command above failed with status" in output


def test_what_a_killed_build_left_is_gone_after_the_next(tmp_path, build_failing_on_call):
    left = tmp_path / "home" / "cache" / "unfinished" / "objects" / "half.o"
    left.parent.mkdir(parents=True)
    left.touch()
    assert build_failing_on_call(100)
    assert not left.parents[1].exists()


def test_a_build_that_waited_for_one_that_failed_has_its_folder(tmp_path):
    """The first removes the folder that both have open."""
    folder = tmp_path / "home" / "cache"
    opened, waiting = build.os.open, threading.Event()

    def open_and_tell(*arguments):
        descriptor = opened(*arguments)
        waiting.set()
        return descriptor

    def second():
        with build._alone(folder):
            (folder / "built").touch()

    with build._alone(folder):
        build.os.open = open_and_tell
        try:
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(20)
        finally:
            build.os.open = opened
    thread.join(20)
    assert (folder / "built").exists()


def test_without_a_home(tmp_path):
    """As in a container whose user has no entry in /etc/passwd."""
    code = "import os, runpy, sys\n"
    code += "os.path.expanduser = lambda path: path\n"
    code += "sys.argv = ['build']\n"
    code += "runpy.run_module('keras_pac.build', run_name='__main__')\n"
    # Keras imports an old matplotlib where there is one, and that has to have some folder.
    process = run_python("-c", code, XDG_CACHE_HOME="", MPLCONFIGDIR=str(tmp_path))
    assert process.returncode == 1
    assert "not built: there is no home folder; XDG_CACHE_HOME names a cache." in process.stderr
    assert "Traceback" not in process.stderr


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
        unfinished = tmp_path / "unfinished"
        unfinished.mkdir(exist_ok=True)
        paths = unfinished / "one.so", tmp_path / "objects"
        changed = build._build_library(*paths, [step], lambda: ([], []), about)
        build._take_place(unfinished, tmp_path)
        assert changed == (compiled is not None)
        assert ("compiling one" in capsys.readouterr().out) == bool(compiled)


def test_environments_that_share_the_cache_build_the_same(
    tmp_path, build_failing_on_call, monkeypatch
):
    assert build_failing_on_call(1000)
    copy = shutil.copytree(library.SOURCES, tmp_path / "another" / "custom_ops")
    monkeypatch.setattr(library, "SOURCES", copy)
    monkeypatch.setattr(build, "core", build._load_core_build())
    assert not build_failing_on_call(1000)
    assert not (tmp_path / "calls").exists()


def test_an_adapter_for_an_older_interface_stays(tmp_path, build_failing_on_call):
    def adapter(minor):
        header = tmp_path / str(minor) / library.FFI / "c_api.h"
        header.parent.mkdir(parents=True)
        header.write_text(f"#define XLA_FFI_API_MAJOR 0\n#define XLA_FFI_API_MINOR {minor}\n")
        return build.xla_adapter(tmp_path / str(minor))

    folder = tmp_path / "home" / "cache"
    build_failing_on_call(1000)
    for minor, expected in ((3, "0.3"), (2, "0.2"), (5, "0.2")):
        build.build(folder, None, [adapter(minor)])
        assert library.read_info(folder / library.XLA_ADAPTER)["ffi"] == expected
    (folder / library.XLA_ADAPTER).write_text("damaged")
    build.build(folder, None, [adapter(6)])
    assert library.read_info(folder / library.XLA_ADAPTER)["ffi"] == "0.6"


def test_an_official_wheel_is_compiled_for_as_the_installed_one(tmp_path):
    """The flags of a wheel that was unpacked are those that its TensorFlow gives."""
    installed = build.installed_tensorflow()
    assert installed.about == {"tensorflow": tf.__version__}
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
    quick = script(tmp_path / "quick", f'exec {" ".join(core.cxx())} "$@" -O0')
    environment = {"XDG_CACHE_HOME": str(tmp_path), "CXX": quick}
    both = [start_python("-m", "keras_pac.build", **environment) for _ in range(2)]
    outputs = sorted(finish(process, timeout=400).splitlines()[-1] for process in both)
    assert outputs == ["The compiled op is built.", "The compiled op is up to date."]
    chosen, *result = output_of(USE, **environment).splitlines()
    assert chosen.split() == ["compiled", str(tmp_path / "keras_pac" / library.__version__)]
    assert "[9. 9.]" in result[0]

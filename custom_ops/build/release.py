"""Check all that a release consists of, and leave it in `dist`: `make release-check`.

Nothing is published here: a tag `v` and the version lets .github/workflows/publish.yml do that.
"""

import contextlib
import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

from custom_ops.build import wheel
from keras_pac.version import __version__

ROOT = wheel.ROOT
DIST = ROOT / "dist"
SMOKE = ROOT / "custom_ops" / "build" / "smoke.py"
MOST_BYTES = 15_000_000
ENVIRONMENTS = {"oldest": ROOT / "constraints-oldest.txt", "newest": None}


def version_problems(changelog, version, tags):
    """What is wrong with the newest version of a changelog, or with the tags of this commit."""
    found = re.search(r"^## \[(\d[^]]*)\] - (.*)$", changelog, re.MULTILINE)
    if not found:
        return ["CHANGELOG.md has no heading `## [version] - date`."]
    problems = []
    if found[1] != version:
        problems.append(f"The newest in CHANGELOG.md is {found[1]}, and keras_pac is {version}.")
    for tag in tags:
        if tag != f"v{version}":
            problems.append(f"The tag is {tag}, and keras_pac is {version}.")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", found[2]):
            problems.append(f"A version with a tag has a date; CHANGELOG.md says {found[2]!r}.")
    return problems


def broken_links(html):
    """The links and pictures of a page that lead nowhere from a package index."""
    links = re.findall(r'(?:href|src)="([^"]*)"', html)
    here = {f"#{name}" for name in re.findall(r' id="([^"]*)"', html)}
    return [
        link for link in links if not link.startswith(("https://", "http://")) and link not in here
    ]


def rendered(text):
    """The HTML that a package index makes of Markdown."""
    from readme_renderer import markdown  # of `make release-check` only

    html = markdown.render(text)
    if not html or "<h2" not in html:
        raise SystemExit("The Markdown can't be rendered.")
    return html


def run(*command, **options):
    """Run a command; what it prints is shown only if it fails."""
    command = [str(part) for part in command]
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{process.stdout}\nfailed.")
    return process.stdout


@contextlib.contextmanager
def step(name):
    start = time.perf_counter()
    print(f"{name} …", flush=True)
    yield
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def check(problems):
    if problems:
        raise SystemExit("\n".join(problems))


def check_texts(built):
    """The texts of the wheel and the changelog, as a package index shows them."""
    with zipfile.ZipFile(built) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(file.read(name))
    readme = rendered(metadata.get_payload(decode=True).decode())
    check([f"README.md leads nowhere on a package index: {link}" for link in broken_links(readme)])
    rendered((ROOT / "CHANGELOG.md").read_text())


def check_contents(built, sdist):
    """Both have every file of the package that git knows, and no other module."""
    expected = set(run("git", "ls-files", "keras_pac", cwd=ROOT).split())
    with zipfile.ZipFile(built) as file:
        inside = [name for name in file.namelist() if name.startswith("keras_pac/")]
    extra = ("keras_pac/_compiled/", "keras_pac/_custom_ops/")
    own = {name for name in inside if not name.startswith(extra) and not name.endswith("/")}
    check([f"In the wheel, or in git, but not in both: {name}" for name in own ^ expected])
    with tarfile.open(sdist) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    check([f"Not in the source distribution: {name}" for name in expected - packed])


def new_environment(folder, constraints):
    """A Python with TensorFlow, Keras and NumPy, but without keras_pac."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    limits = ["--constraint", constraints] if constraints else []
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    run(*pip, *limits, "tensorflow", "keras", "numpy")
    return python


def smoke_test(python, folder, **environment):
    """A forward pass outside the clone, where no compiler is on the path."""
    environment = {
        **os.environ,
        "PATH": str(python.parent),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "XDG_CACHE_HOME": str(folder / "cache"),
        **environment,
    }
    print(run(python, "-I", SMOKE, cwd=folder, env=environment), end="")


def install(python, package):
    """Install only the package: what it needs must be there already."""
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--force-reinstall"]
    run(*pip, "--no-deps", package)
    run(python, "-m", "pip", "check", "--disable-pip-version-check")


def main():
    tags = run("git", "tag", "--points-at", "HEAD", "v*", cwd=ROOT).split()
    check(version_problems((ROOT / "CHANGELOG.md").read_text(), __version__, tags))
    shutil.rmtree(DIST, ignore_errors=True)
    with step("source distribution"):
        run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    with step("wheel"):
        wheel.main()
    (built,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    with step("texts and contents"):
        run(sys.executable, "-m", "twine", "check", "--strict", built, sdist)
        check_texts(built)
        check_contents(built, sdist)
    size = built.stat().st_size
    print(f"{built.name}: {size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"The wheel may have {MOST_BYTES:,} bytes.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name, constraints in ENVIRONMENTS.items():
            with step(f"environment of the {name} versions"):
                python = new_environment(folder / name, constraints)
            with step(f"{name}: the wheel installed, and a forward pass"):
                install(python, built)
                smoke_test(python, folder)
        # In the newest, which has a wheel that has just passed: the libraries must go with it.
        with step("newest: the source distribution installed, the op built, and a forward pass"):
            install(python, sdist)
            cache = {"XDG_CACHE_HOME": str(folder / "built")}
            run(python, "-I", "-m", "keras_pac.build", cwd=folder, env={**os.environ, **cache})
            smoke_test(python, folder, **cache)
    print(f"keras_pac {__version__} can be released.")


if __name__ == "__main__":
    main()

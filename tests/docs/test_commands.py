"""The commands of the documentation: bash reads them, but instead of running they are recorded.

So variables, loops and continued lines are what they are in a shell. Then the argument parser of
the program that is called has to take what was recorded. A program that is not known here is an
error.
"""

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess

import pytest

import examples.joint_upsampling.__main__
import examples.segmentation.__main__
import keras_pac.build
from tests.support.makefile import TARGETS
from tests.support.pages import DOCS, MARKDOWN, SCRIPTS, fences_of, markdown_of
from tests.support.paths import ROOT

# With examples/README.md, which is a page of the site, too.
PAGES = [*MARKDOWN, ROOT / "examples" / "README.md", *SCRIPTS]
EXAMPLES = {"CAMVID": "camvid", "NYU": "nyu"}  # variables that a reader has to set
PARSERS = {
    "examples.joint_upsampling": examples.joint_upsampling.__main__.make_parser,
    "examples.segmentation": examples.segmentation.__main__.make_parser,
    "keras_pac.build": keras_pac.build.make_parser,
}
LANGUAGES = {"python", "bash", "console"}
RUN_ELSEWHERE = {(DOCS / "migrating.md", "py")}  # test_migrating.py runs these
each_page = pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def commands_of(blocks, folder):
    """(line, words) of each command; the blocks of a page are one script."""
    recorded = ("python", ".venv/bin/python", "pip", "git", "make")
    functions = [f'{name}() {{ record {name} "$@"; }}' for name in recorded]
    functions += [
        """record() { printf '%s\\0' "${BASH_LINENO[1]}" $# "$@" >> recorded; }""",
        "cd() { :; }",
        'taskset() { shift 2; "$@"; }',
        "PATH=",  # no program is found
    ]
    lines = ["; ".join(functions)]
    for line_before, language, code in blocks:
        lines += [""] * (line_before - len(lines))
        for line in code.splitlines():
            is_output = language == "console" and not line.startswith("$ ")
            lines.append("" if is_output else line.removeprefix("$ "))
    (folder / "script").write_text("\n".join(lines))
    (folder / "recorded").touch()
    process = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eu", "script"],
        cwd=folder,
        env=EXAMPLES,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    fields = iter((folder / "recorded").read_text().split("\0")[:-1])
    return [(int(line), [next(fields) for _ in range(int(next(fields)))]) for line in fields]


def complaint(words):
    """What is wrong with a command, or None."""
    program, *arguments = words
    match [program.rpartition("/")[2], *arguments]:
        case ["make", *targets]:
            unknown = [name for name in targets if "=" not in name and name not in TARGETS]
            return f"the Makefile has no {unknown}" if unknown else None
        case ["pip", "install", *_] | ["git", "clone", *_] | ["python", "-m", "pip", "install", *_]:
            return None
        case ["python", "-c", code]:
            compile(code, "command", "exec")
            return None
        case ["python", "-m", "pytest", *arguments]:
            paths = [each for each in arguments if each.endswith(".py")]
            missing = [path for path in paths if not (ROOT / path).exists()]
            return f"there is no {missing}" if missing else None
        case ["python", "-m", module, *arguments]:
            return complaint_of_module(module) or complaint_of_parser(module, arguments)
    return "this command is not known here"


def complaint_of_module(module):
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        spec = None
    return None if spec else f"{module} does not run"


def complaint_of_parser(module, arguments):
    if module not in PARSERS:
        return "its arguments can't be checked" if arguments else None
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            PARSERS[module]().parse_args(arguments)
    except SystemExit:
        return message.getvalue().splitlines()[-1]
    return None


@each_page
def test_commands_are_taken(path, tmp_path):
    fences = [fence for fence in fences_of(markdown_of(path)) if fence[1] in ("bash", "console")]
    wrong = [
        f"{path.name}:{line}: {shlex.join(words)}: {text}"
        for line, words in commands_of(fences, tmp_path)
        if (text := complaint(words))
    ]
    assert not wrong, "\n".join(wrong)


@each_page
def test_commands_in_the_text_exist(path):
    for command in re.findall(r"`((?:make|python -m) [^`]+)`", markdown_of(path)):
        program, *arguments = command.split()
        if program == "make":
            assert arguments[0] in TARGETS, command
        else:
            assert not complaint_of_module(arguments[1]), command


@pytest.mark.parametrize(
    "path", [*MARKDOWN, *SCRIPTS], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_block_is_of_a_kind_that_no_test_runs(path):
    """In a script, Python is a cell."""
    allowed = LANGUAGES - {"python"} if path.suffix == ".py" else LANGUAGES
    for line, language, _ in fences_of(markdown_of(path)):
        is_directive = re.fullmatch(r"\{[\w-]+\}.*", language)
        assert is_directive or language in allowed or (path, language) in RUN_ELSEWHERE, (
            f"{path.name}:{line}: ```{language}"
        )


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "tar xzf file",
        "pip uninstall keras",
        "python -m keras_pac.nothing",
        "python -m keras_pac",
        "python -m keras_pac.info --all",
        "python -m keras_pac.build --fodler here",
        "python -m examples.segmentation train --data d",
        "python -m examples.joint_upsampling predict --image a --depth b --output c --loud",
        "python -m pytest tests/no_test.py",
        "python script.py",
    ],
)
def test_a_wrong_command_is_seen(command, tmp_path):
    try:
        ((line, words),) = commands_of([(3, "bash", command + "\n")], tmp_path)
    except AssertionError as error:
        assert "line 4: tar" in str(error)
    else:
        assert line == 4 and complaint(words)


def test_a_shell_reads_the_commands(tmp_path):
    code = '$ P="python -m"\n$ for F in 1 2; do $P keras_pac.build --folder a{b,"c d"} \\\n'
    code += "$     --optional; done\nThe op is built.\n"
    words = ["python", "-m", "keras_pac.build", "--folder", "ab", "ac d", "--optional"]
    assert commands_of([(7, "console", code)], tmp_path) == [(9, words)] * 2

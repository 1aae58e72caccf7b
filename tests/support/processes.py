"""Run Python code in a process of its own."""

import os
import subprocess
import sys

from tests.support.paths import ROOT


def run_python(*arguments, path=(ROOT,), **environment):
    """Run `python arguments` and return the finished process, output as text.

    `path` are the folders from which it can import, besides the installed packages.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def start_python(*arguments, **environment):
    """Start `python arguments`, its output and errors in one stream of text."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, timeout=200):
    """Wait for a started process, which must succeed, and return its output."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output


def output_of(code, arguments=(), **options):
    """The standard output of a Python program; its error output if it fails."""
    process = run_python("-c", code, *map(str, arguments), **options)
    assert process.returncode == 0, process.stderr
    return process.stdout

"""The metadata is in pyproject.toml; this file is here for the compiled op, which it will build."""

from setuptools import setup

setup()

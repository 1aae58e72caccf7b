"""Settings of the site that `make docs` builds with Sphinx."""

import hashlib
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent / "keras_pac"
sys.path.insert(0, str(HERE / "extensions"))

# For this process and for those that run the guides.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras_pac  # noqa: E402  (after the settings above)

project = "keras_pac"
author = "The keras_pac authors"
copyright = "The keras_pac authors"  # noqa: A001
version = release = keras_pac.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "mathml",
    "docstrings",
]
exclude_patterns = ["conf.py", "extensions", "notebooks"]

# Pages: Markdown, and scripts whose comments are Markdown. Scripts are run.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"
# A guide is run again when the package has changed, not only when the guide has.
_sources = sorted(PACKAGE.rglob("*.py")) + sorted(PACKAGE.rglob("*.h5"))
_state = hashlib.sha256(b"".join(path.read_bytes() for path in _sources)).hexdigest()[
    :16
]
nb_execution_cache_path = str(HERE.parent / "build" / "docs-cache" / _state)
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# The reference: docstrings, in which `x` is code.
default_role = "code"
autodoc_typehints = "none"
autosummary_generate = True
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    "Input shape",
    "Output shape",
    "Reference",
]
templates_path = ["templates"]
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = "keras_pac"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

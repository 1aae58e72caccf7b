"""What all figures share: matplotlib only where they are made, no window, shown in notebooks."""

import numpy as np

from keras_pac import visualize
from tests.support.processes import output_of

IMPORT = """
import sys
import keras  # which may import matplotlib itself
import tensorflow

for name in [name for name in sys.modules if name.startswith("matplotlib")]:
    del sys.modules[name]
import keras_pac

keras_pac.visualize.kernels
print([name for name in sys.modules if name.startswith("matplotlib")])
"""


def test_importing_the_package_imports_no_matplotlib():
    assert output_of(IMPORT).strip() == "[]"


WITHOUT = """
import sys

sys.modules["matplotlib"] = None  # to import it raises an ImportError
import keras_pac, numpy as np

try:
    keras_pac.visualize.features(np.zeros((4, 5, 6)))
except ImportError as error:
    print(error)
"""


def test_without_matplotlib_it_says_what_to_install():
    assert "pip install 'keras_pac[visualize]'" in output_of(WITHOUT)


PYPLOT = """
import keras_pac, matplotlib.pyplot, numpy as np

keras_pac.visualize.features(np.zeros((4, 5, 6)))
print(matplotlib.pyplot.get_fignums())
"""


def test_no_figure_is_kept_by_pyplot():
    assert output_of(PYPLOT).strip() == "[]"


def test_a_notebook_shows_a_figure():
    """IPython asks an object for its `_repr_png_`."""
    png = visualize.features(np.zeros((4, 5, 6)))._repr_png_()
    assert png.startswith(b"\x89PNG")

"""The implementations that run here."""

import keras_pac
from keras_pac.ops._implementations import NAMES

# "compiled" only where it is built.
IMPLEMENTATIONS = [name for name in NAMES if not keras_pac.not_supported_reasons(name)]

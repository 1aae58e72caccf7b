"""The implementations that run here."""

import keras_pac

# "compiled" only where it is built.
IMPLEMENTATIONS = [
    name
    for name in ("patches", "taps", "compiled")
    if name != "compiled" or not keras_pac.not_supported_reasons(name)
]

"""Where a call comes from."""

import sys


def on_the_call_stack(modules):
    """Whether one of the modules, or of those whose names begin so, is on the call stack."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(modules):
            return True
        frame = frame.f_back
    return False

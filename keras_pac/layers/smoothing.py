"""How a layer filters its guide at the centre of a window."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """An (n, n) filter of the guide at the centre pixel.

    Args:
        kind: "gaussian" (3x3 binomial), "average" or "learned", which starts as the average.
        size: n, odd.
    """

    kind: str
    size: int

    @classmethod
    def of(cls, argument):
        """The value for the argument `smoothing` of a layer; None without smoothing."""
        if argument is None:
            return None
        if isinstance(argument, str) and argument == "gaussian":
            return cls("gaussian", 3)
        if (
            isinstance(argument, (list, tuple))
            and len(argument) == 2
            and argument[0] in ("average", "learned")
            and isinstance(argument[1], (int, np.integer))
            and argument[1] >= 3
            and argument[1] % 2 == 1
        ):
            return cls(argument[0], int(argument[1]))
        raise ValueError(
            '`smoothing` must be None, "gaussian", ("average", n) or ("learned", n) with n odd and '
            f"at least 3. Received: smoothing={argument!r}"
        )

    @property
    def argument(self):
        """The argument `smoothing` of a layer that gives this value."""
        return "gaussian" if self.kind == "gaussian" else (self.kind, self.size)

    def filter(self):
        """The filter, as lists of numbers; the learned one starts as the average."""
        # `torch.compile` can't trace an array of NumPy.
        weights = [0.25, 0.5, 0.25] if self.kind == "gaussian" else [1 / self.size] * self.size
        return [[row * column for column in weights] for row in weights]

"""Words and numbers as programs tell them."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def count(number: int, what: str) -> str:
    """A number of things: ``1 image``, ``2 images``."""
    return f"{number} {what}{'s' * (number != 1)}"


class Gain(Protocol):
    """What a change gains in log-likelihood of what was left out, and its standard deviation."""

    @property
    def gain(self) -> float: ...

    @property
    def error(self) -> float: ...


def gain_text(of: Gain) -> str:
    """``+0.5 +- 0.2``: digits by the error, which is no number where nobody can tell."""
    if not math.isfinite(of.error):
        return "too few particles to tell"
    digits = 1 if of.error < 10 else 0
    return f"{of.gain:+.{digits}f} +- {of.error:.{digits}f} ln likelihood"


def rounded(deviations: Array) -> Array:
    """To the digits of standard deviations that are worth writing."""
    return np.array([float(f"{value:.4g}") for value in deviations])

"""Words and numbers as programs tell them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def count(number: int, what: str) -> str:
    """A number of things: ``1 image``, ``2 images``."""
    return f"{number} {what}{'s' * (number != 1)}"


def gain_text(gain: float, error: float | None) -> str:
    """``+0.5 +- 0.2``: digits by the error, which is no number where nobody can tell."""
    if error is None or not math.isfinite(error):
        return "too few particles to tell"
    digits = 1 if error < 10 else 0
    return f"{gain:+.{digits}f} +- {error:.{digits}f} ln likelihood"


def rounded(deviations: Array) -> Array:
    """To the digits of standard deviations that are worth writing."""
    return np.array([float(f"{value:.4g}") for value in deviations])

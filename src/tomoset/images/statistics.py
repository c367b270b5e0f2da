"""Minimum, maximum, mean and deviation of the pixels of a file, as its header says them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Values that are looked at in one go: few enough for the cache of a core.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Values:
    """What a header says of all pixels: least, largest, mean, and deviation from the mean.

    By itself it says that none of it is known, as the page on MRC has it.
    """

    low: float = 0.0
    high: float = -1.0
    mean: float = -2.0
    rms: float = -1.0


class Statistics:
    """The values of what passes by, in float64."""

    def __init__(self) -> None:
        self._low, self._high = math.inf, -math.inf
        self._shift = 0.0
        self._n = 0
        self._sum = self._squares = 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take contiguous values in."""
        flat = values.reshape(-1)
        if not self._n and flat.size:
            self._shift = float(flat[0])  # far from 0, squares would lose the digits that matter
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK].astype(np.float64)
            self._low = min(self._low, float(block.min()))
            self._high = max(self._high, float(block.max()))
            with np.errstate(invalid="ignore", over="ignore"):  # then nothing is known
                block -= self._shift
                self._sum += float(block.sum())
                self._squares += float(block @ block)
        self._n += flat.size

    @property
    def values(self) -> Values:
        """Of all that was taken in; unknown if that is nothing, or not all of it is finite."""
        if not self._n or not math.isfinite(self._squares):
            return Values()
        mean = self._sum / self._n
        rms = math.sqrt(max(0.0, self._squares / self._n - mean**2))
        return Values(self._low, self._high, self._shift + mean, rms)

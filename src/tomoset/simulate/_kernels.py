"""The compiled loop that spreads points over a grid. Imported late: numba takes its time."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt


def _spread(
    grid: npt.NDArray[np.float32],
    points: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    reach: int,
    beta: float,
) -> None:
    """As `field.spread_slowly`, point by point."""
    height, width = grid.shape
    across = np.empty(2 * reach)
    for n in range(len(points)):
        x, y = points[n, 0], points[n, 1]
        left, low = math.floor(x) - reach + 1, math.floor(y) - reach + 1
        if left < 0 or low < 0 or left + 2 * reach > width or low + 2 * reach > height:
            continue
        for i in range(2 * reach):
            s = (left + i - x) / reach
            across[i] = math.exp(beta * (math.sqrt(max(1.0 - s * s, 0.0)) - 1.0))
        for j in range(2 * reach):
            s = (low + j - y) / reach
            value = weights[n] * math.exp(beta * (math.sqrt(max(1.0 - s * s, 0.0)) - 1.0))
            for i in range(2 * reach):
                grid[low + j, left + i] += np.float32(value * across[i])


try:
    spread = numba.njit(nogil=True, cache=True)(_spread)
except RuntimeError:  # no folder to keep it in, as in a read-only container
    spread = numba.njit(nogil=True)(_spread)

"""The compiled loops that spread points over grids. Imported late: numba takes its time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

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


def _spread_between(
    grids: npt.NDArray[np.float32],
    points: npt.NDArray[np.float64],
    level: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    kernel: npt.NDArray[np.float32],
) -> None:
    """Points at levels between grids, 0 being the first, each shared by the grids beside it.

    Half the kernel comes as a table: row n has its values for points n / len(kernel) of a cell
    above the cell's corner.
    """
    n_grids, height, width = grids.shape
    steps, cells = kernel.shape
    reach = cells // 2
    for n in range(len(points)):
        x, y = points[n, 0], points[n, 1]
        left, low = math.floor(x), math.floor(y)
        across = kernel[int((x - left) * steps)]
        upwards = kernel[int((y - low) * steps)]
        left, low = left - reach + 1, low - reach + 1
        if left < 0 or low < 0 or left + cells > width or low + cells > height:
            continue
        below = min(int(level[n]), n_grids - 2)
        above = np.float32(weights[n] * (level[n] - below))
        rest = np.float32(weights[n] - above)
        for j in range(cells):
            for i in range(cells):
                value = upwards[j] * across[i]
                grids[below, low + j, left + i] += rest * value
                grids[below + 1, low + j, left + i] += above * value


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep it in, as in a read-only container
        made = numba.njit(nogil=True)(function)
    return cast("Callable[..., None]", made)


spread, spread_between = _compiled(_spread), _compiled(_spread_between)

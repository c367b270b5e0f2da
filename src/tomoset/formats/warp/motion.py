"""Movement in 3D, as Warp and M have it: how points of the volume move with the dose.

Grids in x, y, z and dose, linear between their nodes; a movement is added to where a point is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeMotion:
    """How the points of one tomogram move.

    Parameters
    ----------
    grids : (array, array, array)
        Movement in x, y and z [Å] at nodes: (dose, z, y, x), evenly from 0 to 1 of each.
    volume : (3,) array
        Size of the tomogram, which need not be whole [px].
    times : (n,) array
        When each tilt image was taken: 0 at the smallest dose of the series, 1 at the largest.
    """

    grids: tuple[Array, Array, Array]
    volume: Array
    times: Array

    def __call__(self, points: Array) -> Array:
        """Movement of points (k, 3) [voxels] in each tilt image: (k, n, 3) [Å]."""
        at = points / self.volume
        found = []
        for grid in self.grids:
            time, z, y, x = (
                _weights(count, where)
                for count, where in zip(grid.shape, (self.times, *at.T[::-1]), strict=True)
            )
            found.append(np.einsum("tzyx,nt,kz,ky,kx->kn", grid, time, z, y, x, optimize=True))
        return np.stack(found, axis=-1)

    @property
    def largest(self) -> float:
        """By how much a point may move, at most [Å]."""
        return math.hypot(*(float(np.abs(grid).max()) for grid in self.grids))


def _weights(count: int, at: Array) -> Array:
    """What each node contributes at some places: (places, count).

    Before the first node the first cell goes on; from the last node on its value stays. So Warp's
    library has it.

    Examples
    --------
    >>> _weights(3, np.array([0.25, -0.5, 2.0])).tolist()
    [[0.5, 0.5, 0.0], [2.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    u = at * (count - 1)
    cell = np.clip(np.floor(u), 0, count - 1).astype(np.int64)
    part = np.where(cell == count - 1, 0.0, u - cell)
    nodes = np.eye(count)
    following = nodes[np.minimum(cell + 1, count - 1)]
    return np.asarray((1 - part)[:, None] * nodes[cell] + part[:, None] * following)

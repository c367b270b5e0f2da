"""2D deformations as sums of functions of the place in an image, with exact slopes.

All three of RELION's models are d(p) = C b(p): the same functions b for x and y, and a matrix C
of which the linear model has one number fixed at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.model import Deformation
from tomoset.model.deformation import frequencies

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bend:
    """The functions of one model.

    Parameters
    ----------
    kind, grid
        As in `Deformation`.
    image_size : (int, int)
        Width and height of the tilt images [px].
    """

    kind: str
    grid: tuple[int, int]
    image_size: tuple[int, int]

    @property
    def slots(self) -> tuple[Index, Index]:
        """Row (0 for x, 1 for y) and column in C of each of the k coefficients."""
        if self.kind == "linear":
            return np.array([0, 1, 1]), np.array([0, 0, 1])
        gx, gy = self.grid
        count = 4 * gx * gy if self.kind == "spline" else 2 * len(frequencies(self.grid))
        return np.repeat([0, 1], count), np.tile(np.arange(count), 2)

    def matrix(self, coefficients: Array) -> Array:
        """C of coefficients in RELION's order: (..., k) to (..., 2, m)."""
        row, column = self.slots
        matrix = np.zeros((*coefficients.shape[:-1], 2, int(column.max()) + 1))
        matrix[..., row, column] = coefficients
        return matrix

    def functions(self, points: Array) -> tuple[Array, Array]:
        """b and its slopes.

        Parameters
        ----------
        points : (n, 2) array
            x, y [px].

        Returns
        -------
        values : (n, m) float64 array
        slopes : (n, 2, m) float64 array
            Along x and y [1/px].
        """
        size = np.asarray(self.image_size, dtype=np.float64)
        if self.kind == "linear":
            return points - size / 2, np.broadcast_to(np.eye(2), (len(points), 2, 2))
        if self.kind == "spline":
            return self._spline(points, size)
        waves = frequencies(self.grid) * np.pi / size
        phase = points @ waves.T
        even, odd = np.cos(phase), np.sin(phase)
        values = np.stack([even, odd], axis=-1).reshape(len(points), 2 * len(waves))
        turned = np.stack([-odd, even], axis=-1)
        slopes = turned[:, None] * waves.T[None, :, :, None]
        return values, slopes.reshape(len(points), 2, 2 * len(waves))

    def _spline(self, points: Array, size: Array) -> tuple[Array, Array]:
        (x, dx), (y, dy) = (
            _line(points[:, axis] * (nodes - 1) / size[axis], nodes)
            for axis, nodes in enumerate(self.grid)
        )
        dx, dy = (d * (n - 1) / s for d, n, s in zip((dx, dy), self.grid, size, strict=True))

        # Node y, node x, [value, slope x, slope y, twist].
        count = 4 * self.grid[0] * self.grid[1]

        def together(a: Array, b: Array) -> Array:
            return np.asarray(
                (b[:, :, None, :, None] * a[:, None, :, None, :]).reshape(len(a), count)
            )

        slopes = np.stack([together(dx, y), together(x, dy)], axis=1)
        return together(x, y), slopes

    def scale(self) -> Array:
        """How large coefficients are for displacements of about 1 px: (k,)."""
        if self.kind == "linear":
            width, height = self.image_size
            return 2.0 / np.array([width, width, height], dtype=np.float64)
        if self.kind == "spline":
            return np.tile([1.0, 0.5, 0.5, 0.25], 2 * self.grid[0] * self.grid[1])
        waves = np.linalg.norm(frequencies(self.grid), axis=1)
        return np.tile(np.repeat(1 / waves, 2), 2)

    def penalty(self) -> Array:
        """What RELION multiplies the square of each coefficient with: (k,)."""
        if self.kind != "Fourier":
            return np.ones(len(self.slots[0]))
        waves = frequencies(self.grid) * np.pi / np.asarray(self.image_size, dtype=np.float64)
        return np.tile(np.repeat((waves**2).sum(axis=1), 2), 2)

    def like(self, old: Deformation | None, n_tilts: int) -> Array:
        """Coefficients of this model for the displacements of another: (n_tilts, k)."""
        count = len(self.slots[0])
        if old is None:
            return np.zeros((n_tilts, count))
        if (old.kind, old.kind == "linear" or old.grid) == (
            self.kind,
            self.kind == "linear" or self.grid,
        ):
            return np.array(old.coefficients)
        across = [np.linspace(0, side, 25) for side in self.image_size]
        points = np.stack(np.meshgrid(*across), axis=-1).reshape(-1, 2)
        every = np.broadcast_to(points, (n_tilts, *points.shape))
        target = old.displacement(every, image_size=self.image_size)
        row, column = self.slots
        design = np.zeros((len(points), 2, count))
        design[:, row, np.arange(count)] = self.functions(points)[0][:, column]
        flat = design.reshape(-1, count)
        found = np.linalg.lstsq(flat, target.reshape(n_tilts, -1).T, rcond=1e-9)[0]
        return np.asarray(found.T)


def _line(u: Array, nodes: int) -> tuple[Array, Array]:
    """Cubic Hermite functions along one axis, and their slopes: (n, nodes, 2) each.

    The last axis: value and slope of the node. Beyond the ends it goes on level.
    """
    clipped = np.clip(u, 0.0, nodes - 1)
    cell = np.minimum(clipped.astype(np.int64), nodes - 2)
    s = clipped - cell
    values, slopes = np.zeros((2, len(u), nodes, 2))
    every = np.arange(len(u))
    free = (u >= 0) & (u <= nodes - 1)
    values[every, cell] = np.stack([1 + s * s * (2 * s - 3), s * (1 - s) ** 2], axis=1)
    values[every, cell + 1] = np.stack([s * s * (3 - 2 * s), s * s * (s - 1)], axis=1)
    steep = 6 * s * (s - 1)
    slopes[every, cell] = np.stack([steep, (1 - s) * (1 - 3 * s)], axis=1) * free[:, None]
    slopes[every, cell + 1] = np.stack([-steep, s * (3 * s - 2)], axis=1) * free[:, None]
    return values, slopes

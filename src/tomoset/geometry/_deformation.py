"""RELION's 2D deformations of tilt images, as sums of functions of the position in an image.

All three models are d(p) = C b(p): the same functions b for x and y, and a matrix C of
coefficients, of which the linear model has one fixed at 0 (RELION's ``linear_``, ``spline_`` and
``Fourier_2D_deformation_model``). Image points and displacements are in pixels of the tilt series
as stored, counted from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.geometry._basic import Array

Index = npt.NDArray[np.int64]

#: RELION's spelling of the models.
KINDS = ("linear", "spline", "Fourier")


@dataclass(frozen=True)
class DeformationBasis:
    """The functions of one model.

    Parameters
    ----------
    kind : {"linear", "spline", "Fourier"}
    grid : (int, int)
        Nodes (spline) or frequencies (Fourier) in x and y. Not used by ``linear``.
    image_size : (int, int)
        Width and height of the tilt images [px].

    Raises
    ------
    ModelError
        If the kind is unknown, or a spline has fewer than 2 nodes along an axis.

    Examples
    --------
    >>> basis = DeformationBasis("linear", (3, 3), (48, 20))
    >>> basis.displacement(np.array([0.01, 0.0, 0.0]), np.array([[74.0, 10.0]])).tolist()
    [[0.5, 0.0]]
    """

    kind: str
    grid: tuple[int, int]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"deformation must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.kind == "spline" and min(self.grid) < 2:
            raise ModelError(
                f"a spline needs at least 2 x 2 nodes, not {self.grid[0]} x {self.grid[1]}"
            )

    @property
    def slots(self) -> tuple[Index, Index]:
        """Row (0 for x, 1 for y) and column in C of each of the k coefficients, in RELION's order.

        k is 3 (linear), 8 gx gy (spline) or 4 N (Fourier, of N `frequencies`).
        """
        if self.kind == "linear":
            return np.array([0, 1, 1]), np.array([0, 0, 1])
        count = 4 * self.grid[0] * self.grid[1]
        if self.kind == "Fourier":
            count = 2 * len(frequencies(self.grid))
        return np.repeat([0, 1], count), np.tile(np.arange(count), 2)

    @property
    def count(self) -> int:
        """Coefficients of a tilt image: k."""
        return len(self.slots[0])

    def matrix(self, coefficients: Array) -> Array:
        """C of coefficients: (..., k) to (..., 2, m)."""
        row, column = self.slots
        matrix = np.zeros((*coefficients.shape[:-1], 2, int(column.max(initial=-1)) + 1))
        matrix[..., row, column] = coefficients
        return matrix

    def values(self, points: Array) -> Array:
        """b at points x, y [px]: (n, 2) to (n, m)."""
        if self.kind == "linear":
            return points - self._size / 2
        if self.kind == "spline":
            return _products(self._along(points, 0), self._along(points, 1))
        phase = points @ self._waves.T
        waves = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
        return waves.reshape(len(points), 2 * phase.shape[1])

    def slopes(self, points: Array) -> Array:
        """Derivatives of b along x and y [1/px]: (n, 2) to (n, 2, m)."""
        if self.kind == "linear":
            return np.broadcast_to(np.eye(2), (len(points), 2, 2))
        if self.kind == "spline":
            x, y = (self._along(points, axis) for axis in (0, 1))
            dx, dy = (self._slopes_along(points, axis) for axis in (0, 1))
            return np.stack([_products(dx, y), _products(x, dy)], axis=1)
        phase = points @ self._waves.T
        slopes_by_phase = np.stack([-np.sin(phase), np.cos(phase)], axis=-1)
        slopes = slopes_by_phase[:, None] * self._waves.T[None, :, :, None]
        return np.asarray(slopes.reshape(len(points), 2, 2 * phase.shape[1]))

    def design(self, points: Array) -> Array:
        """What a coefficient of 1 displaces, of each in turn [px]: (n, 2) to (n, 2, k)."""
        row, column = self.slots
        design = np.zeros((len(points), 2, len(row)))
        design[:, row, np.arange(len(row))] = self.values(points)[:, column]
        return design

    def displacement(self, coefficients: Array, points: Array) -> Array:
        """d of the points of tilt images [px]: (..., k) and (..., n, 2) to (..., n, 2)."""
        flat, places = points.reshape(-1, 2), points.shape[:-1]
        if self.kind != "spline":
            matrix = np.swapaxes(self.matrix(coefficients), -1, -2)
            return np.asarray(self.values(flat).reshape(*places, -1) @ matrix)
        # One axis after the other, which is faster: functions are products.
        gx, gy = self.grid
        x, y = (self._along(flat, axis).reshape(*places, -1) for axis in (0, 1))
        C = np.moveaxis(coefficients.reshape(*places[:-1], 2, gy, gx, 2, 2), (-3, -1), (-5, -4))
        moved = (x @ C.reshape(*places[:-1], 2 * gx, -1)).reshape(*places, 2, 2 * gy)
        return np.asarray((moved @ y[..., None])[..., 0])

    def nearest(self, coefficients: Array, other: DeformationBasis) -> Array:
        """Coefficients (n, k) for the displacements of those of another model, as far as possible.

        By least squares over the image.
        """
        if other == self:
            return coefficients
        across = [np.linspace(0, side, 25) for side in self.image_size]
        points = np.stack(np.meshgrid(*across), axis=-1).reshape(-1, 2)
        target = other.design(points).reshape(-1, other.count) @ coefficients.T
        own = self.design(points).reshape(-1, self.count)
        return np.asarray(np.linalg.lstsq(own, target, rcond=1e-9)[0].T)

    @property
    def scale(self) -> Array:
        """How large coefficients are for displacements of about 1 px: (k,)."""
        if self.kind == "linear":
            width, height = self.image_size
            return 2.0 / np.array([width, width, height], dtype=np.float64)
        if self.kind == "spline":
            # Value, slopes and twist of each node, per cell: nodes differ by about 1.
            return np.tile([1.0, 0.5, 0.5, 0.25], 2 * self.grid[0] * self.grid[1])
        waves = np.linalg.norm(frequencies(self.grid), axis=1)
        return np.tile(np.repeat(1 / waves, 2), 2)

    @property
    def penalty(self) -> Array:
        """What RELION multiplies the square of each coefficient with: (k,)."""
        if self.kind != "Fourier":
            return np.ones(self.count)
        return np.tile(np.repeat((self._waves**2).sum(axis=1), 2), 2)

    @property
    def _size(self) -> Array:
        return np.asarray(self.image_size, dtype=np.float64)

    @property
    def _waves(self) -> Array:
        """Wave vectors of the Fourier model [rad/px]: (N, 2)."""
        return frequencies(self.grid) * np.pi / self._size

    def _along(self, points: Array, axis: int) -> Array:
        """Cubic Hermite functions along one axis: (n, 2 nodes).

        Those of the value and of the slope of each node; beyond the ends they go on level.
        """
        cell, s, _ = self._cells(points, axis)
        t = 1 - s
        parts = (t * t * (1 + 2 * s), s * t * t, s * s * (3 - 2 * s), -s * s * t)
        return _spread(cell, parts, self.grid[axis])

    def _slopes_along(self, points: Array, axis: int) -> Array:
        """Slopes of those: (n, 2 nodes) [1/px]."""
        cell, s, rate = self._cells(points, axis)
        t = 1 - s
        parts = (-6 * s * t, t * (1 - 3 * s), 6 * s * t, s * (3 * s - 2))
        return _spread(cell, [rate * part for part in parts], self.grid[axis])

    def _cells(self, points: Array, axis: int) -> tuple[Index, Array, Array]:
        """The nodes before points along one axis, the way to the next, and how fast it goes."""
        last = self.grid[axis] - 1
        per_px = last / self.image_size[axis]
        u = points[:, axis] * per_px
        inside = np.clip(u, 0.0, last)
        cell = np.minimum(inside.astype(np.int64), last - 1)
        return cell, inside - cell, np.where(inside == u, per_px, 0.0)


def _spread(cell: Index, parts: Sequence[Array], nodes: int) -> Array:
    """Functions of the two nodes about points among those of all nodes: (n, 2 nodes)."""
    spread = np.zeros((len(cell), 2 * nodes))
    np.put_along_axis(spread, 2 * cell[:, None] + np.arange(4), np.stack(parts, axis=1), axis=1)
    return spread


def _products(x: Array, y: Array) -> Array:
    """Of node y and node x, each a value, a slope along x, one along y, and a twist: (n, m)."""
    n, gx, gy = len(x), x.shape[1] // 2, y.shape[1] // 2
    each = y.reshape(n, gy, 1, 2, 1) * x.reshape(n, 1, gx, 1, 2)
    return np.asarray(each.reshape(n, 4 * gx * gy))


def frequencies(grid: tuple[int, int]) -> Array:
    """Frequencies of the Fourier model, in half periods per image: (N, 2), RELION's order.

    Examples
    --------
    >>> frequencies((3, 3)).tolist()
    [[1.0, 0.0], [1.0, -2.0], [1.0, -1.0]]
    """
    gx, gy = grid
    waves = []
    for y in range(gy):
        upper = y < gy // 2
        first = 0 if upper and y > 0 else 1
        waves += [(x, y if upper else y - gy) for x in range(first, gx // 2 + 1)]
    return np.array(waves, dtype=np.float64).reshape(-1, 2)

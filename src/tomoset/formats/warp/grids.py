"""Warp's grids: natural cubic splines over an image and over the tilt images of a series.

A grid has its nodes evenly from 0 to 1 along x, y (fractions of an image) and z (of the tilt
images, in the order of the file); along an axis with one node it is constant. Grids of movement
and RELION's spline deformations are both piecewise cubic in x and in y, so that one becomes the
other without a loss within the image, where the nodes fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.model import Deformation

Array = npt.NDArray[np.float64]

#: Nodes along an axis beyond which no deformation goes.
_MOST = 41
#: A difference that no longer asks for more nodes [px].
_EXACT = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Values at nodes.

    Parameters
    ----------
    values : (depth, height, width) array
    margins : (float, float, float)
        Where the first node lies along x, y and z; the last lies as far from 1.
    """

    values: Array
    margins: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_flat(self) -> bool:
        """Whether it is constant over an image."""
        return self.values.shape[1:] == (1, 1)

    def of_tilts(self, n: int) -> Array:
        """The nodes of each of n tilt images: (n, height, width)."""
        depth = len(self.values)
        if depth == n and not self.margins[2]:
            return self.values
        weights, _ = spline(depth, self.margins[2], np.linspace(0, 1, n) if n > 1 else np.zeros(1))
        return np.tensordot(weights, self.values, 1)

    def centre(self, n: int) -> Array:
        """What n tilt images have in their middle: (n,)."""
        return self.sample(n, np.array([0.5]), np.array([0.5]))[:, 0, 0]

    def sample(self, n: int, x: Array, y: Array, rising: str = "") -> Array:
        """Values of n tilt images at all x and y, as fractions of an image: (n, y, x).

        `rising` names the axes, of "xy", along which the derivative is taken instead.
        """
        _, height, width = self.values.shape
        along_x = spline(width, self.margins[0], x)["x" in rising]
        along_y = spline(height, self.margins[1], y)["y" in rising]
        return np.asarray(along_y @ self.of_tilts(n) @ along_x.T)


def spline(count: int, margin: float, at: Array) -> tuple[Array, Array]:
    """What each node of a natural cubic spline contributes at some places: (places, count).

    And to the derivative there. Beyond the ends the last cubic goes on.

    Examples
    --------
    >>> spline(3, 0.0, np.array([0.5]))[0].round(6).tolist()
    [[0.0, 1.0, 0.0]]
    """
    if count == 1:
        return np.ones((len(at), 1)), np.zeros((len(at), 1))
    per_unit = (count - 1) / (1 - 2 * margin)
    u = (at - margin) * per_unit
    cell = np.clip(np.floor(u), 0, count - 2).astype(np.int64)
    s = (u - cell)[:, None]
    value, bend = np.eye(count), _bends(count)
    low, high = value[cell], value[cell + 1]
    bend_low, bend_high = bend[cell] / 6, bend[cell + 1] / 6
    t = 1 - s
    values = t * low + s * high + (t**3 - t) * bend_low + (s**3 - s) * bend_high
    slopes = high - low - (3 * t**2 - 1) * bend_low + (3 * s**2 - 1) * bend_high
    return values, slopes * per_unit


def _bends(count: int) -> Array:
    """Second derivatives at nodes, per cell, of unit values at each node: (count, count)."""
    bends = np.zeros((count, count))
    if count > 2:
        inner = count - 2
        system = 4 * np.eye(inner) + np.eye(inner, k=1) + np.eye(inner, k=-1)
        second = np.eye(inner, count) - 2 * np.eye(inner, count, k=1) + np.eye(inner, count, k=2)
        bends[1:-1] = np.linalg.solve(system, 6 * second)
    return bends


def to_deformation(x: Grid, y: Grid, n: int, pixel_size: float) -> tuple[Deformation, Array]:
    """A spline deformation of n tilt images from grids of movement in x and y [Å].

    Warp subtracts movement from where a point is projected to; a deformation is added to it.

    Returns
    -------
    Deformation
        In pixels.
    (n,) array
        How far off it is anywhere in each tilt image [px].
    """
    nodes = [_nodes(x, y, axis) for axis in (2, 1)]
    ends = [np.linspace(0, 1, count) for count in nodes]
    parts = np.empty((n, 2, nodes[1], nodes[0], 2, 2))
    for i, grid in enumerate((x, y)):
        for (j, k), rising in {(0, 0): "", (0, 1): "x", (1, 0): "y", (1, 1): "xy"}.items():
            per_cell = (nodes[0] - 1) ** k * (nodes[1] - 1) ** j
            parts[:, i, :, :, j, k] = grid.sample(n, ends[0], ends[1], rising) / per_cell
    made = Deformation(
        kind="spline",
        grid=(nodes[0], nodes[1]),
        coefficients=-parts.reshape(n, -1) / pixel_size,
    )
    if not any(margin for grid in (x, y) for margin in grid.margins[:2]):
        return made, np.zeros(n)
    return made, _apart(made, x, y, n, pixel_size)


def _nodes(x: Grid, y: Grid, axis: int) -> int:
    """So many that every node of both grids is one, if that is possible."""
    cells = [max(grid.values.shape[axis] - 1, 1) for grid in (x, y)]
    return min(math.lcm(*cells) + 1, _MOST)


def _apart(made: Deformation, x: Grid, y: Grid, n: int, pixel_size: float) -> Array:
    at = np.linspace(0, 1, 8 * max(*made.grid, 2) + 1)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(1, -1, 2)
    moved = made.displacement(np.broadcast_to(points, (n, *points.shape[1:])), image_size=(1, 1))
    wanted = np.stack([grid.sample(n, at, at).reshape(n, -1) for grid in (x, y)], axis=-1)
    return np.asarray(np.linalg.norm(moved + wanted / pixel_size, axis=-1).max(axis=1))


def from_deformation(
    deformation: Deformation, image_size: tuple[int, int], pixel_size: float
) -> tuple[Grid, Grid, Array]:
    """Grids of movement in x and y [Å], and how far off they are in each tilt image [px].

    Nodes are those of the deformation, or more where its bends ask for them.
    """
    n = len(deformation.coefficients)
    cells = [1, 1] if deformation.kind == "linear" else [max(g - 1, 1) for g in deformation.grid]
    if deformation.kind == "Fourier":
        cells = [2 * c for c in cells]
    best: tuple[Grid, Grid, Array] | None = None
    for finer in (1, 2, 4, 8):
        counts = [min(finer * c, _MOST - 1) + 1 for c in cells]
        ends = [np.linspace(0, 1, count) for count in counts]
        moved = _moved(deformation, ends[0], ends[1], image_size)
        values = -pixel_size * moved
        x, y = (Grid(values=values[..., i]) for i in (0, 1))
        at = [np.linspace(0, 1, 4 * (count - 1) + 1) for count in counts]
        said = np.stack([grid.sample(n, at[0], at[1]) for grid in (x, y)], axis=-1) / -pixel_size
        off = np.linalg.norm(said - _moved(deformation, at[0], at[1], image_size), axis=-1).max(
            axis=(1, 2)
        )
        if best is None or off.max() < best[2].max():
            best = x, y, off
        if off.max() < _EXACT or max(counts) == _MOST:
            break
    assert best is not None
    return best


def _moved(deformation: Deformation, x: Array, y: Array, image_size: tuple[int, int]) -> Array:
    """Displacements at all x and y, as fractions of an image: (n, y, x, 2) [px]."""
    points = np.stack(np.meshgrid(x * image_size[0], y * image_size[1]), axis=-1).reshape(1, -1, 2)
    n = len(deformation.coefficients)
    every = np.broadcast_to(points, (n, *points.shape[1:]))
    moved = deformation.displacement(every, image_size=image_size)
    return moved.reshape(n, len(y), len(x), 2)

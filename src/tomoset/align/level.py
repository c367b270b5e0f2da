"""The rotation that makes a specimen flat, from the positions of its beads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.fit import AlignmentError

Array = npt.NDArray[np.float64]

#: Beads that say how a specimen lies, at least.
_FEWEST = 4
#: Their spread across is at least this part of the one along.
_NARROWEST = 0.1
_ROUNDS = 20
#: Slopes that two planes are tried from.
_STARTS = np.linspace(-0.25, 0.25, 5)
#: Two planes must leave less than this part of the variance that one does: beads strewn evenly
#: through the ice leave a quarter.
_MUCH = 0.1


@dataclass(frozen=True, eq=False)
class Level:
    """How a specimen is made flat.

    Parameters
    ----------
    motion : (4, 4) array
        From voxels as they are to voxels of the tomogram when it is flat.
    angle, error : float
        Of the rotation, and its standard deviation [deg].
    sides : int
        Planes that the beads lie on: one, or two that are parallel.
    """

    motion: Array
    angle: float
    error: float
    sides: int


def level(points: Array, middle: Array) -> Level:
    """The rotation about the middle of a tomogram that makes the plane of its beads horizontal.

    Beads lie on one side of the ice or on both: one plane is fitted, or two that are parallel if
    they say nearly all about how high beads are.

    Parameters
    ----------
    points : (n, 3) array
        Of beads, x, y, z [voxels].
    middle : (3,) array
        What stays where it is [voxels].

    Raises
    ------
    AlignmentError
        If there are too few beads, or all lie near a line.

    Examples
    --------
    >>> x, y = np.meshgrid([0.0, 100.0, 200.0], [0.0, 150.0])
    >>> tilted = np.stack([x.ravel(), y.ravel(), 0.2 * x.ravel()], axis=1)
    >>> found = level(tilted, np.zeros(3))
    >>> round(found.angle, 6), bool(np.ptp(geometry.apply(found.motion, tilted)[:, 2]) < 1e-9)
    (11.309932, True)
    """
    if len(points) < _FEWEST:
        raise AlignmentError(
            f"{len(points)} beads do not say how the specimen lies: {_FEWEST} are needed to level "
            "it"
        )
    flat = points[:, :2] - points[:, :2].mean(axis=0)
    spread = np.linalg.svd(flat, compute_uv=False)
    if spread[1] < _NARROWEST * spread[0]:
        raise AlignmentError("the beads lie near a line, and do not say how the specimen lies")
    one = _fitted(points, 1, np.zeros(2))
    # Which side a bead is on depends on the slopes, and they on the sides: many starts.
    starts = np.stack(np.meshgrid(_STARTS, _STARTS), axis=-1).reshape(-1, 2)
    starts = starts if len(points) >= 2 * _FEWEST else starts[:0]
    two = min(
        (_fitted(points, 2, start) for start in starts), key=lambda p: p.variance, default=one
    )
    best = two if two.variance < _MUCH * one.variance else one
    normal = np.array([-best.slopes[0], -best.slopes[1], 1.0])
    normal /= np.linalg.norm(normal)
    return Level(
        motion=rotation_to_z(normal, middle),
        angle=float(np.rad2deg(np.arccos(min(float(normal[2]), 1.0)))),
        error=float(np.rad2deg(np.sqrt(np.trace(best.covariance)))),
        sides=2 if best is two and two is not one else 1,
    )


@dataclass(frozen=True, eq=False)
class _Planes:
    """Parallel planes through beads: slopes along x and y, and how well they are known."""

    slopes: Array
    covariance: Array
    variance: float


def _fitted(points: Array, number: int, slopes: Array) -> _Planes:
    """Parallel planes by least squares with Huber's weights: a bead may lie anywhere in the ice."""
    heights, weights = points[:, 2], np.ones(len(points))
    side = np.zeros(len(points), dtype=np.int64)
    for _ in range(_ROUNDS):
        if number == 2:
            side = _halves(heights - points[:, :2] @ slopes)
        design = np.column_stack([points[:, :2], np.eye(number)[side]])
        normal = design.T @ (weights[:, None] * design)
        solution = np.linalg.solve(normal, design.T @ (weights * heights))
        off = np.abs(heights - design @ solution)
        scale = 1.345 * max(float(np.median(off)) / 0.6745, 1e-9)
        weights = np.minimum(1.0, scale / np.maximum(off, 1e-12))
        slopes = np.asarray(solution[:2])
    variance = float((weights * off**2).sum() / max(len(points) - 2 - number, 1))
    covariance = np.linalg.inv(normal)[:2, :2] * variance
    return _Planes(np.asarray(slopes), np.asarray(covariance), variance)


def _halves(heights: Array) -> npt.NDArray[np.int64]:
    """The split into low and high ones after which each half varies least."""
    order = np.argsort(heights, kind="stable")
    sums, squares = np.cumsum(heights[order]), np.cumsum(heights[order] ** 2)
    low = np.arange(1, len(heights))
    high = len(heights) - low
    within = squares[-1] - sums[:-1] ** 2 / low - (sums[-1] - sums[:-1]) ** 2 / high
    side = np.zeros(len(heights), dtype=np.int64)
    side[order[int(np.argmin(within)) + 1 :]] = 1
    return side


def rotation_to_z(normal: Array, middle: Array) -> Array:
    """The smallest rotation about a point that brings a direction, of length 1, to z: (4, 4)."""
    axis = np.cross(normal, [0.0, 0.0, 1.0])
    angle = np.arctan2(np.linalg.norm(axis), normal[2])
    rotation = np.eye(4)
    rotation[:3, :3] = geometry.rotation_about(axis / np.sinc(angle / np.pi))
    return np.asarray(geometry.translation(middle) @ rotation @ geometry.translation(-middle))

"""How far an alignment is from the truth, after the best common map of the specimen.

An alignment may have the specimen moved and turned as a whole: a rigid map of it (and, as geometry
cannot tell, its mirror image) is fitted first. Images that are far off do not draw the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Errors:
    """Of one series, in pixels and degrees.

    Parameters
    ----------
    projection, affine : (n,) arrays
        rms over the points of how far they are projected from the truth, after the best rigid
        map, and after the best affine one [px].
    shift : (n, 2) array
        Mean over the points of the same, after the rigid map [px].
    axis : float
        Of the direction of the tilt axis [deg].
    placed : (4, 4) array
        The rigid map, from true voxels to those of the alignment.
    mirrored : bool
        Whether the map is a mirror image.
    """

    projection: Array
    affine: Array
    shift: Array
    axis: float
    placed: Array
    mirrored: bool


def judge(
    truth: Array, found: Array, points: Array, used: npt.NDArray[np.bool_] | None = None
) -> Errors:
    """Compare two sets of projections, (n, 4, 4) each, at points of the specimen, (m, 3) voxels.

    `used` are the images that may draw the common map; all, if not given.
    """
    used = np.ones(len(truth), bool) if used is None else used
    middle, size = points.mean(axis=0), float(np.abs(points - points.mean(axis=0)).max())
    # Points of order 1 make the fit well conditioned.
    at = (points - middle) / size
    to_unit = np.eye(4)
    to_unit[:3, :3] /= size
    to_unit[:3, 3] = -middle / size
    wanted = truth @ np.linalg.inv(to_unit)
    given = found @ np.linalg.inv(to_unit)
    linear = _robust(lambda w: _affine(wanted, given, at, w), wanted, given, at, used)
    rigid = [
        _robust(lambda w, s=sign: _rigid(wanted, given, at, w, linear, s), wanted, given, at, used)
        for sign in (1.0, -1.0)
    ]
    costs = [float(np.median(_rms(wanted, given @ m, at)[used])) for m in rigid]
    best = int(np.argmin(costs))
    difference = _xy(given @ rigid[best], at) - _xy(wanted, at)
    return Errors(
        projection=np.sqrt((difference**2).sum(axis=2).mean(axis=1)),
        affine=_rms(wanted, given @ linear, at),
        shift=difference.mean(axis=1),
        axis=_turned(axis_direction(found[used]) - axis_direction(truth[used])),
        placed=np.linalg.inv(to_unit) @ rigid[best] @ to_unit,
        mirrored=best == 1,
    )


def axis_direction(projections: Array) -> float:
    """Of the tilt axis in the images, counter-clockwise from y, from -90 to 90 [deg].

    The axis is the direction in space that moves least from image to image.
    """
    rows = projections[:, :3, :3]
    turns = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    u, _, _ = np.linalg.svd(turns.mean(axis=0))
    return _turned(float(np.rad2deg(np.arctan2(-u[0, 0], u[1, 0]))))


def inclination_of(normal: Array) -> tuple[float, float]:
    """About the tilt axis and across it [deg], of a slab with this normal."""
    x, y, z = np.asarray(normal) * (1 if normal[2] > 0 else -1) / np.linalg.norm(normal)
    return float(np.rad2deg(np.arctan2(x, z))), float(-np.rad2deg(np.arcsin(y)))


def expected_inclination(inclination: tuple[float, float], placed: Array) -> tuple[float, float]:
    """What an alignment should find of a slab, in its own frame."""
    a, b = np.deg2rad(inclination)
    normal = np.array([np.sin(a) * np.cos(b), -np.sin(b), np.cos(a) * np.cos(b)])
    return inclination_of(placed[:3, :3] @ normal)


def _turned(degrees: float) -> float:
    return float((degrees + 90) % 180 - 90)


def _xy(projections: Array, at: Array) -> Array:
    """Where points are projected, (n, m, 2)."""
    return np.asarray(at @ np.swapaxes(projections[:, :2, :3], 1, 2) + projections[:, None, :2, 3])


def _rms(wanted: Array, given: Array, at: Array) -> Array:
    return np.asarray(np.sqrt(((_xy(given, at) - _xy(wanted, at)) ** 2).sum(axis=2).mean(axis=1)))


def _robust(fit, wanted: Array, given: Array, at: Array, used: Array) -> Array:  # type: ignore[no-untyped-def]
    """Fit a map with weights, again and again, until far images have little weight."""
    weights = used.astype(float)
    for _ in range(12):
        found = fit(weights)
        far = _rms(wanted, given @ found, at)
        scale = max(float(np.median(far[used])), 1e-9)
        weights = used / np.maximum(1.0, far / (2 * scale)) ** 2
    return np.asarray(found)


def _affine(wanted: Array, given: Array, at: Array, weights: Array) -> Array:
    """The affine map of space that brings projections together best."""
    ones = np.column_stack([at, np.ones(len(at))])
    root = np.sqrt(weights)[:, None, None]
    # x, y of image i at point p: sum over rows r and columns c of given[i, xy, r] A[r, c] p[c].
    rows = np.einsum("nar,pc->naprc", given[:, :2, :3], ones) * root[..., None, None]
    right = (_xy(wanted, at) - given[:, None, :2, 3]) * root
    solved = np.linalg.lstsq(
        rows.reshape(-1, 12), np.moveaxis(right, 2, 1).reshape(-1), rcond=None
    )[0]
    return np.vstack([solved.reshape(3, 4), [0, 0, 0, 1]])


def _rigid(
    wanted: Array, given: Array, at: Array, weights: Array, start: Array, sign: float
) -> Array:
    """The same of rotations, times `sign` along depth, and shifts: Gauss-Newton."""
    made = np.eye(4)
    mirrored = sign != np.sign(np.linalg.det(start[:3, :3]))
    made[:3, :3] = _nearest(start[:3, :3] @ np.diag([1, 1, -1.0 if mirrored else 1.0]))
    made[:3, 3] = start[:3, 3]
    root = np.sqrt(weights)[:, None, None]
    for _ in range(20):
        left = (_xy(wanted, at) - _xy(given @ made, at)) * root
        # Small rotations about x, y, z move points by their cross product.
        seen = at @ made[:3, :3].T
        spun = np.stack([np.cross(e, seen) for e in np.eye(3)], axis=-1)
        by_turn = np.einsum("nar,prk->npak", given[:, :2, :3], spun)
        by_move = np.broadcast_to(given[:, None, :2, :3], by_turn.shape)
        rows = (np.concatenate([by_turn, by_move], axis=-1) * root[..., None]).reshape(-1, 6)
        step = np.linalg.solve(rows.T @ rows, rows.T @ left.reshape(-1))
        made[:3, :3] = _turn(step[:3]) @ made[:3, :3]
        made[:3, 3] += step[3:]
        if np.abs(step).max() < 1e-11:
            break
    return made


def _nearest(matrix: Array) -> Array:
    """The orthogonal matrix next to one, of the same sign."""
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ v)


def _turn(vector: Array) -> Array:
    """The rotation about a vector, by its length [rad]."""
    angle = max(float(np.linalg.norm(vector)), 1e-300)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)

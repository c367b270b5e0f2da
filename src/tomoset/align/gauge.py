"""Where the tomogram lies: a fit does not say, so it stays where it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.robust import weigh

Array = npt.NDArray[np.float64]

#: All `motions`.
AFFINE = slice(12)
#: Beads as few as this, or as close to a line or to each other (the second largest extent over
#: the largest), do not say how a tomogram lies; its corners do.
_FEW, _NARROW = 6, 0.1
_STEPS = 30


@dataclass(frozen=True, eq=False)
class Gauge:
    """A motion of the specimen that makes new projections see it as the old ones did.

    Parameters
    ----------
    motion : (4, 4) array
        From the frame of the fit to that of the input: a rotation, a shift, and a scale if
        magnifications were fitted.
    points : (k, 3) array
        In the frame of the fit, by which it was found.
    weights : (n, k) array
        Of tilt images and points.
    free : slice
        Which of `motions` there could be: none where what is held says where the tomogram lies.
    """

    motion: Array
    points: Array
    weights: Array
    free: slice

    def transformed(self, projections: Array) -> Array:
        """Projections of the fit, in the frame of the input."""
        matrices = projections @ np.linalg.inv(self.motion)
        matrices[:, 3] = [0.0, 0.0, 0.0, 1.0]
        return np.asarray(matrices)


def reference_points(beads: Array, size: tuple[int, int, int] | None) -> Array:
    """The points that are to stay where they were: beads, and corners if beads do not do."""
    if size is None or not len(beads):
        return beads
    extents = np.linalg.svd(beads - beads.mean(axis=0), compute_uv=False)
    if len(beads) >= _FEW and extents[1] > _NARROW * extents[0]:
        return beads
    return np.concatenate([beads, geometry.corners(size)])


def motions(points: Array, linear: Array, free: slice) -> Array:
    """How images of points change by rotations about and shifts along x, y, z, a scale, and shears.

    The first 6 are the rigid motions, 7 with a scale, all 12 the affine ones.

    Parameters
    ----------
    points : (k, 3) array
        From what they rotate about.
    linear : (n, 2, 3) array
        Rows x and y of projections.
    free : slice
        Which of them.

    Returns
    -------
    (n, k, 2, count) float64 array
    """
    space = np.zeros((len(points), 3, 12))
    for axis in range(3):
        space[:, :, axis] = np.cross(np.eye(3)[axis], points)
    space[:, :, 3:6] = np.eye(3)
    space[:, :, 6] = points
    space[:, 0, 7], space[:, 1, 7] = points[:, 0], -points[:, 1]
    space[:, 1, 8], space[:, 2, 8] = points[:, 1], -points[:, 2]
    for shear, (a, b) in enumerate(((0, 1), (1, 2), (2, 0)), 9):
        space[:, a, shear], space[:, b, shear] = points[:, b], points[:, a]
    transformed = np.einsum("nij,kjm->nkim", linear, space[..., free], optimize=True)
    return np.asarray(transformed)


def motion(by: Array, about: Array) -> Array:
    """The 4x4 matrix of a motion: rotations about x, y, z [rad], shifts, and the log of a scale."""
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.rotation_about(by[:3]) * (np.exp(by[6]) if len(by) > 6 else 1.0)
    matrix[:3, 3] = about - matrix[:3, :3] @ about + by[3:6]
    return matrix


def find(old: Array, new: Array, points: Array, *, scaled: bool) -> Gauge:
    """The motion after which the old projections see points where the new ones see them.

    Robust: images that were far off do not say where the tomogram was.

    Parameters
    ----------
    old, new : (n, 4, 4) arrays
        Projections of the tilt images that were fitted.
    points : (k, 3) array
        In the frame of the new ones.
    scaled : bool
        Whether its scale may change.
    """
    target = geometry.apply(new, points)[..., :2]
    matrix = np.eye(4)
    about = points.mean(axis=0)
    free = slice(7 if scaled else 6)
    linear = old[:, :2, :3]
    weights = np.ones(target.shape[:2])
    for _ in range(_STEPS):
        here = geometry.apply(matrix, points)
        off = target - geometry.apply(old, here)[..., :2]
        length = np.linalg.norm(off, axis=2)
        weights = weigh(length / max(float(np.median(length)), 1e-6), "huber")
        change = motions(here - about, linear, free)
        heavy = change * weights[..., None, None]
        normal = np.einsum("nkia,nkib->ab", heavy, change, optimize=True)
        side = np.einsum("nkia,nki->a", heavy, off, optimize=True)
        # What points on a line leave open is left alone.
        by = np.linalg.lstsq(normal, side, rcond=1e-9)[0]
        matrix = motion(by, about) @ matrix
        if np.abs(np.einsum("nkia,a->nki", change, by, optimize=True)).max() < 1e-9:
            break
    return Gauge(matrix, points, weights, free)


def find_shift(old: Array, new: Array, points: Array) -> Gauge:
    """The same by shifts alone, where nothing may rotate."""
    off = (geometry.apply(new, points) - geometry.apply(old, points))[..., :2].mean(axis=1)
    by = np.linalg.lstsq(old[:, :2, :3].reshape(-1, 3), off.ravel(), rcond=1e-9)[0]
    weights = np.ones((len(old), len(points)))
    return Gauge(geometry.translation(by), points, weights, slice(3, 6))


def compensation(by_motion: Array, weights: Array, by_camera: Array, parameters: Array) -> Array:
    """Motions of the specimen that make up for changes of free parameters: (count, p).

    Parameters
    ----------
    by_motion : (n, k, 2, count) array
        Of `motions`.
    weights : (n, k) array
        Of images of points.
    by_camera : (n, k, 2, c) array
        How images of points change with the columns of cameras.
    parameters : (n, c, p) array
        How these follow the free parameters.
    """
    heavy = by_motion * weights[..., None, None]
    normal = np.einsum("nkia,nkib->ab", heavy, by_motion, optimize=True)
    pull = np.einsum("nkia,nkic->anc", heavy, by_camera, optimize=True)
    by_parameter = np.einsum("anc,ncp->ap", pull, parameters, optimize=True)
    # What points on a line leave open is left alone.
    return np.asarray(np.linalg.pinv(normal, rcond=1e-9) @ by_parameter)

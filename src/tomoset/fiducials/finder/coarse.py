"""A first correction of an alignment: where each image is, and how it is rotated in its plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.fiducials.finder.detect import Peaks

Array = npt.NDArray[np.float64]

_ROUNDS = 12
#: Shifts are the same if they differ by less than this part of the reach of a search.
_TOGETHER = 4.0


def corrected(projections: Array, points: Array, *, rotated: bool) -> tuple[Array, float]:
    """Projections shifted (and rotated) in the plane of each image to agree on observations.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    points : (n, m, 2) array
        Of m beads [px]; NaN where one was not seen. Some may be wrong.
    rotated : bool
        Whether images may be rotated too, which takes beads that are spread.

    Returns
    -------
    projections : (n, 4, 4) array
    spread : float
        Of what remains: the median distance [px].
    """
    new = projections.copy()
    for _ in range(_ROUNDS):
        off = points - geometry.apply(new, robust_positions(new, points))[..., :2]
        for i, (seen, error) in enumerate(zip(points, off, strict=True)):
            known = np.isfinite(error).all(axis=1)
            if known.any():
                new[i] = _plane(seen[known], error[known], rotated=rotated) @ new[i]
    off = points - geometry.apply(new, robust_positions(new, points))[..., :2]
    far = np.linalg.norm(off, axis=-1)
    return new, float(np.median(far[np.isfinite(far)])) if np.isfinite(far).any() else 0.0


def found_again(
    projections: Array, positions: Array, peaks: Sequence[Peaks], reach: float
) -> Array:
    """Projections of images that are far off, shifted to where most beads have a peak.

    An image that is further off than the search reaches shows no bead at all, and nothing
    would correct it. The shift that brings most beads to peaks does.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    positions : (m, 3) array
        Of beads [voxels].
    peaks : sequence of Peaks
        Of each image.
    reach : float
        How far off images may be [px]; twice as far is searched.
    """
    new = projections.copy()
    at = geometry.apply(projections, positions)[..., :2]
    for i, found in enumerate(peaks):
        shifts = (found.points[:, None] - at[i]).reshape(-1, 2)
        shifts = shifts[np.linalg.norm(shifts, axis=1) < 2 * reach]
        near = np.linalg.norm(shifts[:, None] - shifts, axis=-1) < reach / _TOGETHER
        here = int((np.linalg.norm(shifts, axis=1) < reach / _TOGETHER).sum())
        if not len(shifts) or near.sum(axis=1).max() <= max(here, 1):
            continue
        best = near[near.sum(axis=1).argmax()]
        new[i] = geometry.translation((*np.median(shifts[best], axis=0), 0)) @ new[i]
    return new


def robust_positions(projections: Array, points: Array) -> Array:
    """Triangulated, (n, m, 2) px to (m, 3) voxels, without the images that disagree most."""
    positions = geometry.triangulate(projections, points)
    for _ in range(3):
        off = np.linalg.norm(points - geometry.apply(projections, positions)[..., :2], axis=-1)
        typical = np.nanmedian(off, axis=0, keepdims=True)
        far = off > 3 * np.maximum(typical, 1e-6)
        positions = geometry.triangulate(projections, np.where(far[..., None], np.nan, points))
    return positions


def _plane(seen: Array, error: Array, *, rotated: bool) -> Array:
    """The shift and rotation of an image that take off most of its errors: (4, 4)."""
    shift = np.median(error, axis=0)
    rotation, middle = 0.0, np.median(seen, axis=0)
    if rotated and len(seen) >= 4:
        lever = seen - middle
        across = lever[:, 0] * (error - shift)[:, 1] - lever[:, 1] * (error - shift)[:, 0]
        square = (lever**2).sum(axis=1)
        # The median of the angles, each counting as its arm is long.
        order = np.argsort(across / np.maximum(square, 1e-9))
        half = np.searchsorted(np.cumsum(np.sqrt(square)[order]), np.sqrt(square).sum() / 2)
        rotation = float((across / np.maximum(square, 1e-9))[order[min(half, len(order) - 1)]])
    about = geometry.translation((*middle, 0))
    back = geometry.translation((*-middle, 0))
    return np.asarray(
        geometry.translation((*shift, 0)) @ about @ geometry.rotation_z(np.rad2deg(rotation)) @ back
    )

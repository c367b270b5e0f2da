"""Affine maps of points, and angles read off them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def translation(shift: npt.ArrayLike) -> Array:
    """4x4 matrices that shift points.

    ::

        [ 1 0 0 x ]
        [ 0 1 0 y ]
        [ 0 0 1 z ]
        [ 0 0 0 1 ]

    Parameters
    ----------
    shift : (..., 3) array
        x, y, z.

    Returns
    -------
    (..., 4, 4) float64 array

    Examples
    --------
    >>> (translation((1, 2, 3)) @ [0, 0, 0, 1]).tolist()
    [1.0, 2.0, 3.0, 1.0]
    """
    shift = np.asarray(shift, dtype=np.float64)
    matrix = np.zeros((*shift.shape[:-1], 4, 4))
    matrix[..., range(4), range(4)] = 1.0
    matrix[..., :3, 3] = shift
    return matrix


def rotation_x(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about x: y rotates towards z. Shape (..., 4, 4)."""
    return _rotation(degrees, 1, 2)


def rotation_y(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about y: z rotates towards x. Shape (..., 4, 4)."""
    return _rotation(degrees, 2, 0)


def rotation_z(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about z: x rotates towards y. Shape (..., 4, 4).

    Examples
    --------
    >>> (rotation_z(90) @ [1, 0, 0, 1]).round(12).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    return _rotation(degrees, 0, 1)


def _rotation(degrees: npt.ArrayLike, first: int, second: int) -> Array:
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    matrix = np.zeros((*angle.shape, 4, 4))
    matrix[..., range(4), range(4)] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def rotation_about(vector: npt.ArrayLike) -> Array:
    """3x3 right-handed rotation about a vector, by its length [rad].

    Examples
    --------
    >>> (rotation_about([0, 0, np.pi / 2]) @ [1, 0, 0]).round(12).tolist()
    [0.0, 1.0, 0.0]
    """
    x, y, z = np.asarray(vector, dtype=np.float64)
    angle = np.sqrt(x * x + y * y + z * z)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # sin(angle) / angle and (1 - cos(angle)) / angle², exact near 0 as well.
    along, across = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + along * cross + across * (cross @ cross))


def turns(rotations: Array) -> Array:
    """By which rotations turn [deg], from 0 to 180: (..., 3, 3) to (...) array.

    Examples
    --------
    >>> round(float(turns(rotation_y(30)[:3, :3])), 9)
    30.0
    """
    # The angle of a small rotation is in the part that is not symmetric.
    skew = (rotations - np.swapaxes(rotations, -1, -2))[..., [2, 0, 1], [1, 2, 0]] / 2
    cosine = (np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2
    return np.asarray(np.rad2deg(np.arctan2(np.linalg.norm(skew, axis=-1), cosine)))


def apply(matrices: Array, points: npt.ArrayLike) -> Array:
    """Points carried by one or several affine matrices.

    Parameters
    ----------
    matrices : (4, 4) or (n, 4, 4) array
        No perspective: the last row is taken to be 0, 0, 0, 1.
    points : (..., 3) array

    Returns
    -------
    (..., 3) or (n, ..., 3) float64 array

    Examples
    --------
    >>> apply(translation((1, 0, 0)), [[0, 0, 0], [5, 5, 5]]).tolist()
    [[1.0, 0.0, 0.0], [6.0, 5.0, 5.0]]
    """
    points = np.asarray(points, dtype=np.float64)
    linear, shift = matrices[..., :3, :3], matrices[..., :3, 3]
    if matrices.ndim == 2:
        return np.asarray(points @ linear.T + shift)
    flat = points.reshape(-1, 3)
    images = np.einsum("nij,pj->npi", linear, flat) + shift[:, None, :]
    return np.asarray(images.reshape(len(matrices), *points.shape))


def from_one_based(matrices: Array) -> Array:
    """Projections that count voxels from 1 (RELION 4), as projections that count from 0.

    P0 = P4 T(1,1,1): docs/relion.md, 'Matrices of RELION 4'.
    """
    shifted = np.array(matrices, dtype=np.float64)
    shifted[..., :, 3] += matrices[..., :, :3].sum(axis=-1)
    return shifted


def to_one_based(matrices: Array) -> Array:
    """The inverse of `from_one_based`: P4 = P0 T(-1,-1,-1)."""
    shifted = np.array(matrices, dtype=np.float64)
    shifted[..., :, 3] -= matrices[..., :, :3].sum(axis=-1)
    return shifted


def unbinned(points: npt.ArrayLike, binning: float, *, averaged: bool = False) -> Array:
    """Where voxels of a binned volume lie in the tomogram: (..., 3) arrays, from 0, both.

    Parameters
    ----------
    points : (..., 3) array
        Voxels of the volume.
    binning : float
        Its voxels over those of bin 1.
    averaged : bool
        Whether a voxel is the mean of those it covers, as IMOD makes it, and has its centre
        in theirs; else the first voxels of both are the same, as RELION has it.

    Examples
    --------
    >>> unbinned([0, 1, 2], 4).tolist(), unbinned([0, 1, 2], 4, averaged=True).tolist()
    ([0.0, 4.0, 8.0], [1.5, 5.5, 9.5])
    """
    offset = (binning - 1) / 2 if averaged else 0.0
    return np.asarray(np.asarray(points, dtype=np.float64) * binning + offset)


def binned(points: npt.ArrayLike, binning: float, *, averaged: bool = False) -> Array:
    """The inverse of `unbinned`."""
    offset = (binning - 1) / 2 if averaged else 0.0
    return np.asarray((np.asarray(points, dtype=np.float64) - offset) / binning)


def triangulate(projections: Array, image_points: npt.ArrayLike) -> Array:
    """The points of space that lie nearest, in the images, to what was seen there.

    Least squares over the tilt images in which a point was seen, each image point
    counting the same: the rows x and y of every projection give two equations in v.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
        From 0-based voxels to 0-based pixels.
    image_points : (n_tilts, n_points, 2) array
        x, y [px]; NaN where a point was not seen.

    Returns
    -------
    (n_points, 3) float64 array
        x, y, z in 0-based voxels; NaN where the views seen do not fix a point (fewer than
        two, or all from one direction).

    Examples
    --------
    >>> P = rotation_y([-30.0, 0.0, 30.0])
    >>> seen = apply(P, [[3.0, 4.0, 5.0]])[..., :2]
    >>> triangulate(P, seen).round(9).tolist()
    [[3.0, 4.0, 5.0]]
    """
    observed = np.asarray(image_points, dtype=np.float64)
    seen = np.asarray(np.isfinite(observed).all(axis=-1))
    rhs = np.where(seen[..., None], observed - projections[:, None, :2, 3], 0.0)
    normal = projected_weights(projections, seen)
    vector = np.tensordot(rhs, projections[:, :2, :3], axes=((0, 2), (0, 1)))
    points = np.full(vector.shape, np.nan)
    # The smallest eigenvalue is the sum of squared sines towards the worst direction.
    fixed = np.linalg.eigvalsh(normal)[:, 0] > 1e-6 if len(normal) else np.zeros(0, bool)
    points[fixed] = np.linalg.solve(normal[fixed], vector[fixed][..., None])[..., 0]
    return points


def projected_weights(projections: Array, seen: npt.ArrayLike) -> Array:
    """What images say of places: the sum of AᵀA, A the rows x and y of each that shows a point.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
    seen : (n_tilts, n_points) bool array

    Returns
    -------
    (n_points, 3, 3) float64 array
    """
    rows = projections[:, :2, :3]
    each = (rows.transpose(0, 2, 1) @ rows).reshape(-1, 9)
    return np.asarray((np.asarray(seen, np.float64).T @ each).reshape(-1, 3, 3))


def tilt_angles(projections: Array) -> Array:
    """Tilt of each image about the tomogram's y axis [deg], within (-180, 180].

    Right-handed, from the in-plane rows x and y alone, so that scale, skew and a depth
    that is counted the other way do not matter: RELION 5's rlnTomoYTilt where the tilt
    about x is zero. Shape (n,).

    Examples
    --------
    >>> tilt_angles((rotation_z(85) @ rotation_y(-20))[None]).round(9).tolist()
    [-20.0]
    """
    beam = np.cross(projections[:, 0, :3], projections[:, 1, :3])
    return np.rad2deg(np.arctan2(-beam[:, 0], beam[:, 2]))


def x_tilt_angles(projections: Array) -> Array:
    """Tilt of each image about the tomogram's x axis [deg], as `tilt_angles` about y. Shape (n,).

    Examples
    --------
    >>> x_tilt_angles((rotation_z(85) @ rotation_x(-20))[None]).round(9).tolist()
    [-20.0]
    """
    beam = np.cross(projections[:, 0, :3], projections[:, 1, :3])
    return np.rad2deg(np.arctan2(beam[:, 1], beam[:, 2]))


def tilt_axis_angles(projections: Array) -> Array:
    """Direction in each image of the tomogram's y axis, from the image's y axis [deg].

    Counter-clockwise, within (-180, 180]: RELION 5's rlnTomoZRot. Shape (n,).
    """
    x, y = projections[:, 0, 1], projections[:, 1, 1]
    return np.rad2deg(np.arctan2(-x, y))


def extent(axis: float, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of images [px] whose tilt axis, in this direction [deg], is turned to y.

    Examples
    --------
    >>> extent(-4.0, (400, 300)), extent(85.0, (400, 300))
    ((400, 300), (300, 400))
    """
    return size[::-1] if abs(np.sin(np.deg2rad(axis))) > np.sqrt(0.5) else size


def corners(size: Sequence[int] | Array) -> Array:
    """The eight outer corner voxels of a tomogram of this size: (8, 3) voxels from 0."""
    x, y, z = (float(n) - 1.0 for n in size)
    return np.array([(i, j, k) for k in (0.0, z) for j in (0.0, y) for i in (0.0, x)])

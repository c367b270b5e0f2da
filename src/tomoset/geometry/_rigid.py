"""RELION 5's rigid alignments as projections, and the inverse."""

from __future__ import annotations

import numpy as np

from tomoset.geometry._basic import (
    Array,
    apply,
    rotation_x,
    rotation_y,
    rotation_z,
    translation,
)


def nearest_rotation(linear: Array) -> Array:
    """The rotation (or rotation and mirror) nearest to a 3x3 matrix, by its SVD.

    The determinant keeps its sign. Shape (..., 3, 3) in and out.
    """
    u, _, vt = np.linalg.svd(linear)
    return np.asarray(u @ vt)


def rigid_rotations(angles: Array) -> Array:
    """Rz(z_rot) Ry(y_tilt) Rx(x_tilt) of angles x, y, z [deg]: (n, 3) to (n, 4, 4)."""
    x, y, z = np.asarray(angles, dtype=np.float64).T
    return np.asarray(rotation_z(z) @ rotation_y(y) @ rotation_x(x))


def rigid_angles(rotations: Array) -> Array:
    """The inverse of `rigid_rotations`: (n, 3, 3) to angles x, y, z (n, 3) [deg].

    Where y is 90 degrees, x and z rotate about the same axis: all of it is z.
    """
    R = rotations
    # Not asin, which loses half the digits near 90 degrees.
    y = np.arctan2(-R[:, 2, 0], np.hypot(R[:, 2, 1], R[:, 2, 2]))
    level = np.abs(R[:, 2, 0]) < 1 - 1e-12
    x = np.where(level, np.arctan2(R[:, 2, 1], R[:, 2, 2]), 0.0)
    z = np.where(level, np.arctan2(R[:, 1, 0], R[:, 0, 0]), np.arctan2(-R[:, 0, 1], R[:, 1, 1]))
    return np.asarray(np.rad2deg(np.stack([x, y, z], axis=1)))


def rigid_projections(
    angles: Array, shifts: Array, *, size: tuple[int, int, int], image_size: tuple[int, int]
) -> Array:
    """Projections of RELION 5's parameters, from 0-based voxels to 0-based pixels.

    ::

        P = T(shift) T(image centre) Rz(z_rot) Ry(y_tilt) Rx(x_tilt) T(-centre)

    Both centres are whole numbers, size // 2 (docs/conventions.md, 'Projection').

    Parameters
    ----------
    angles : (n, 3) array
        x_tilt, y_tilt, z_rot [deg].
    shifts : (n, 2) array
        x, y [px of the tilt images].
    size : (int, int, int)
        x, y, z of the tomogram [px].
    image_size : (int, int)
        Width and height of the tilt images [px].

    Returns
    -------
    (n, 4, 4) float64 array

    Examples
    --------
    >>> P = rigid_projections(np.array([[0, 30, 85.0]]), np.array([[12, -8]]) / 1.35,
    ...                       size=(4000, 4000, 2000), image_size=(3838, 3710))
    >>> apply(P, [[2000 + 100 / 1.35, 2000 - 50 / 1.35, 1000 + 200 / 1.35]])[0].round(6).tolist()
    [[1976.832013, 1983.544203, 91.263023]]
    """
    rotation = rigid_rotations(angles)
    rotation[:, :2, 3] = np.asarray(shifts) + np.array(image_size) // 2
    return np.asarray(rotation @ translation(-(np.array(size) // 2)))


def rigid_parameters(
    projections: Array, *, size: tuple[int, int, int], image_size: tuple[int, int]
) -> tuple[Array, Array]:
    """The inverse of `rigid_projections`: the nearest rigid alignment.

    A mirrored depth (determinant below 0) is turned round; scale and skew are taken off by
    the nearest rotation; the middle of the tomogram stays where it is in the images. How much
    that changes is what `rigid_loss` says.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    size, image_size
        As in `rigid_projections`.

    Returns
    -------
    angles : (n, 3) float64 array
        x_tilt, y_tilt, z_rot [deg].
    shifts : (n, 2) float64 array
        x, y [px].
    """
    linear = projections[:, :3, :3].copy()
    linear[np.linalg.det(linear) < 0, 2] *= -1
    R = nearest_rotation(linear)
    middle = (np.array(size, dtype=np.float64) - 1) / 2
    at = apply(projections, middle[None])[:, 0, :2]
    to_centre = R[:, :2] @ (np.array(size) // 2 - middle)
    return rigid_angles(R), at + to_centre - np.array(image_size) // 2


def rigid_loss(projections: Array, rigid: Array, points: Array) -> Array:
    """Largest distance in the images between two sets of projections.

    Parameters
    ----------
    projections, rigid : (n, 4, 4) arrays
        From 0-based voxels to 0-based pixels.
    points : (m, 3) array
        Voxels, such as the `corners` of a tomogram.

    Returns
    -------
    (n,) float64 array
        [px].
    """
    apart = (apply(projections, points) - apply(rigid, points))[..., :2]
    return np.asarray(np.linalg.norm(apart, axis=-1).max(axis=1))

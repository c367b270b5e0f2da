"""Euler angles as matrices, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.geometry._basic import Array


def euler_matrix(rot: npt.ArrayLike, tilt: npt.ArrayLike, psi: npt.ArrayLike) -> Array:
    """Matrices of RELION's Euler angles, ZYZ (docs/relion.md, 'Particles').

    A = Rz(-psi) Ry(-tilt) Rz(-rot), with the right-handed rotations of this package. RELION takes
    A of the subtomogram, times A of the particle, to go from the particle to the tomogram.

    Parameters
    ----------
    rot, tilt, psi : array-like
        rlnAngleRot, rlnAngleTilt, rlnAnglePsi, or the same of rlnTomoSubtomogram* [deg].
        Their shapes are broadcast.

    Returns
    -------
    (..., 3, 3) float64 array
        One matrix a triple: (n, 3, 3) for three arrays of n angles.

    Examples
    --------
    >>> (euler_matrix(90, 0, 0) @ [1, 2, 3]).round(9).tolist()
    [2.0, -1.0, 3.0]
    >>> euler_matrix([0, 10], 20, 30).shape
    (2, 3, 3)
    """
    angles = np.broadcast_arrays(
        np.asarray(rot, dtype=np.float64),
        np.asarray(tilt, dtype=np.float64),
        np.asarray(psi, dtype=np.float64),
    )
    (cp, ct, cs), (sp, st, ss) = (
        [function(np.deg2rad(angle)) for angle in angles] for function in (np.cos, np.sin)
    )
    out = np.empty((*angles[0].shape, 3, 3))
    out[..., 0, 0] = cs * ct * cp - ss * sp
    out[..., 0, 1] = cs * ct * sp + ss * cp
    out[..., 0, 2] = -cs * st
    out[..., 1, 0] = -ss * ct * cp - cs * sp
    out[..., 1, 1] = -ss * ct * sp + cs * cp
    out[..., 1, 2] = ss * st
    out[..., 2, 0] = st * cp
    out[..., 2, 1] = st * sp
    out[..., 2, 2] = ct
    return out


def euler_angles(matrices: Array) -> Array:
    """The way back of `euler_matrix`: (n, 3, 3) to rot, tilt, psi [deg], (n, 3).

    Where the tilt is next to nothing, only rot + psi mean anything, and rot is 0. Psi is taken
    from what rot leaves of the matrix, so that the two are exact together, however small the tilt.
    """
    across, along = np.hypot(matrices[:, 2, 0], matrices[:, 2, 1]), matrices[:, 2, 2]
    rot = np.where(across > 1e-12, np.arctan2(matrices[:, 2, 1], matrices[:, 2, 0]), 0.0)
    side = matrices[:, :2, 1] * np.cos(rot)[:, None] - matrices[:, :2, 0] * np.sin(rot)[:, None]
    psi = np.arctan2(side[:, 0], side[:, 1])
    return np.asarray(np.rad2deg(np.stack([rot, np.arctan2(across, along), psi], axis=1)))


def zxz_matrix(phi: npt.ArrayLike, theta: npt.ArrayLike, psi: npt.ArrayLike) -> Array:
    """Matrices Rz(psi) Rx(theta) Rz(phi): phi turns first, all about fixed axes.

    Parameters
    ----------
    phi, theta, psi : array-like
        [deg]. Their shapes are broadcast.

    Returns
    -------
    (..., 3, 3) float64 array

    Examples
    --------
    >>> (zxz_matrix(90, 90, 0) @ [1, 2, 3]).round(9).tolist()
    [-2.0, -3.0, 1.0]
    """
    # Rx(theta) = Rz(-90) Ry(theta) Rz(90), and `euler_matrix` turns by minus its angles.
    return euler_matrix(-90.0 - np.asarray(phi), -np.asarray(theta), 90.0 - np.asarray(psi))


def zxz_angles(matrices: Array) -> Array:
    """The way back of `zxz_matrix`: (n, 3, 3) to phi, theta, psi [deg], (n, 3)."""
    rot, tilt, psi = euler_angles(matrices).T
    # Ry(-tilt) = Rz(-90) Rx(tilt) Rz(90), between Rz(-psi) and Rz(-rot).
    angles = np.stack([90.0 - rot, tilt, -90.0 - psi], axis=1)
    angles[:, ::2] -= 360.0 * np.round(angles[:, ::2] / 360.0)
    return np.asarray(angles)

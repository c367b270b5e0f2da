"""RELION's Euler angles as matrices."""

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

"""How changes of a camera move image points: P' = T(shift) T(c) Rz Ry Rx M T(-c) P.

c is where P puts the tomogram's middle voxel, with its depth. Rotations are rigid in the space of
the image, so that an alignment of angles and shifts stays one; M changes the magnification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry

Array = npt.NDArray[np.float64]

#: Columns of changes of cameras: radians, pixels, factors less 1.
COLUMNS = ("phi", "theta", "psi", "shift_x", "shift_y", "magnification", "stretch", "skew")
#: What each of the last three adds to M, rows and columns x and y.
_FACTORS = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])


@dataclass(frozen=True, eq=False)
class Cameras:
    """Changed projections, and what they are made of.

    Parameters
    ----------
    old : (n, 4, 4) array
    centre : (n, 3) array
        c [px].
    change : (n, 3, 3) array
        Rz Ry Rx M.
    slopes : (n, 6, 3, 3) array
        Derivatives of `change` by phi, theta, psi, magnification, stretch, skew.
    shift : (n, 2) array
        [px]
    """

    old: Array
    centre: Array
    change: Array
    slopes: Array
    shift: Array

    @classmethod
    def of(cls, old: Array, middle: Array, columns: Array) -> Cameras:
        """Set up.

        Parameters
        ----------
        old : (n, 4, 4) array
            Projections as they were.
        middle : (3,) array
            Voxel.
        columns : (n, 8) array
            `COLUMNS`.
        """
        centre = geometry.apply(old, middle[None])[:, 0]
        x, y, z = (
            turn(np.rad2deg(angle))[..., :3, :3]
            for turn, angle in zip(
                (geometry.rotation_x, geometry.rotation_y, geometry.rotation_z),
                columns[:, :3].T,
                strict=True,
            )
        )
        # The derivative of a rotation about an axis is the rotation times that axis' generator.
        by_x, by_y, by_z = (np.cross(np.eye(3), np.eye(3)[axis]) for axis in range(3))
        M = np.tile(np.eye(3), (len(old), 1, 1))
        M[:, :2, :2] += np.einsum("nk,kij->nij", columns[:, 5:], _FACTORS)
        turned = z @ y @ x
        parts = [z @ y @ x @ by_x @ M, z @ y @ by_y @ x @ M, z @ by_z @ y @ x @ M]
        for factor in _FACTORS:
            wide = np.zeros((3, 3))
            wide[:2, :2] = factor
            parts.append(turned @ wide)
        return cls(old, centre, turned @ M, np.stack(parts, axis=1), columns[:, 3:5])

    def seen(self, points: Array) -> tuple[Array, Array]:
        """Where points are in the images, and from their c in the old ones: see `slopes_at`.

        Parameters
        ----------
        points : (n, p, 3) or (p, 3) array
            Voxels, in each tilt image their own or in all the same.

        Returns
        -------
        places : (n, p, 2) float64 array
            [px]
        arms : (n, p, 3) float64 array
            P v - c [px].
        """
        linear = self.old[:, :3, :3]
        arms = points @ np.swapaxes(linear, 1, 2) + (self.old[:, :3, 3] - self.centre)[:, None]
        places = arms @ np.swapaxes(self.change[:, :2], 1, 2)
        return places + (self.centre[:, :2] + self.shift)[:, None], arms

    def slopes_at(self, tilt: int, arms: Array) -> Array:
        """Derivatives of places by the `COLUMNS`: arms (p, 3) of one tilt image to (p, 2, 8)."""
        by = np.zeros((len(arms), 2, 8))
        by[:, :, [0, 1, 2, 5, 6, 7]] = np.einsum(
            "kij,pj->pik", self.slopes[tilt, :, :2], arms, optimize=True
        )
        by[:, 0, 3] = by[:, 1, 4] = 1.0
        return by

    @property
    def linear(self) -> Array:
        """Derivatives of places by voxels: (n, 2, 3)."""
        return np.asarray(self.change[:, :2] @ self.old[:, :3, :3])

    @property
    def projections(self) -> Array:
        """(n, 4, 4)"""
        new = np.zeros(self.old.shape)
        new[:, :3, :3] = self.change @ self.old[:, :3, :3]
        off = (self.old[:, :3, 3] - self.centre)[..., None]
        new[:, :3, 3] = (self.change @ off)[..., 0] + self.centre
        new[:, :2, 3] += self.shift
        new[:, 3, 3] = 1.0
        return new


def tilting(projections: Array) -> Array:
    """From turns about x and y of images to those across and about the tilt axis: (n, 2, 2).

    Parameters
    ----------
    projections : (n, 4, 4) array
        The tilt axis is the tomogram's y axis, wherever the images show it.
    """
    axis = np.deg2rad(geometry.tilt_axis_angles(projections))
    # Where depth is counted the other way, turns out of the image are too.
    sign = np.where(np.linalg.det(projections[:, :3, :3]) < 0, -1.0, 1.0)
    c, s = sign * np.cos(axis), sign * np.sin(axis)
    return np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)

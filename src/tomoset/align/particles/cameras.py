"""How changes of a camera displace image points: P' = T(shift) T(c) Rz Ry Rx M T(-c) P.

c is where P puts the tomogram's middle voxel, with its depth. Rotations are rigid in the space of
the image, so that an alignment of angles and shifts stays one; M changes the magnification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.geometry import DualMatrix

Array = npt.NDArray[np.float64]

#: Columns of changes of cameras: radians, pixels, factors less 1.
COLUMNS = ("phi", "theta", "psi", "shift_x", "shift_y", "magnification", "stretch", "skew")
#: Columns of `ParticleFit.changes`: degrees, pixels, factors less 1. Rotations are about the axis
#: that is across the tilt axis, about the tilt axis, and about the beam.
PARAMETERS = ("x_tilt", "tilt", "rotation", *COLUMNS[3:])
UNITS = np.array([*[np.rad2deg(1.0)] * 3, *[1.0] * 5])
#: Columns of the derivatives of Rz Ry Rx M, from left to right.
_FACTORS, _SHIFT = (2, 1, 0, 5, 6, 7), 3


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
    slopes : (n, 3, 2, 8) array
        Derivatives of rows x and y of `change`, as `geometry.image_derivatives` takes them.
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
        x, y, z = (DualMatrix.rotation(axis, columns[:, axis]) for axis in range(3))
        change = z @ y @ x @ DualMatrix.strain(columns[:, 5:])
        slopes = change.in_images(_FACTORS, len(COLUMNS))
        return cls(old, centre, change.matrix, slopes, columns[:, 3:5])

    def projected(self, points: Array) -> tuple[Array, Array]:
        """Where points are in the images, and from their c in the old ones: see `slopes_at`.

        Parameters
        ----------
        points : (n, p, 3) or (p, 3) array
            Voxels, in each tilt image their own or in all the same.

        Returns
        -------
        positions : (n, p, 2) float64 array
            [px]
        levers : (n, p, 3) float64 array
            P v - c [px].
        """
        linear = self.old[:, :3, :3]
        levers = points @ np.swapaxes(linear, 1, 2) + (self.old[:, :3, 3] - self.centre)[:, None]
        positions = levers @ np.swapaxes(self.change[:, :2], 1, 2)
        return positions + (self.centre[:, :2] + self.shift)[:, None], levers

    def slopes_at(self, tilt: int, levers: Array) -> Array:
        """Derivatives of positions by the `COLUMNS` in a tilt image: levers (p, 3) to (p, 2, 8)."""
        return geometry.image_derivatives(self.slopes[tilt], levers, _SHIFT)

    @property
    def linear(self) -> Array:
        """Derivatives of positions by voxels: (n, 2, 3)."""
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
    """From rotations about x and y of images to those across and about the tilt axis: (n, 2, 2).

    Parameters
    ----------
    projections : (n, 4, 4) array
        The tilt axis is the tomogram's y axis, wherever the images show it.
    """
    axis = np.deg2rad(geometry.tilt_axis_angles(projections))
    # Where depth is counted the other way, rotations out of the image are too.
    sign = np.where(np.linalg.det(projections[:, :3, :3]) < 0, -1.0, 1.0)
    c, s = sign * np.cos(axis), sign * np.sin(axis)
    return np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)


def changes_between(old: Array, new: Array, size: tuple[int, int, int]) -> Array:
    """`PARAMETERS` of the changes of cameras.

    Parameters
    ----------
    old, new : (n_tilts, 4, 4) arrays
        Projections.
    size : (int, int, int)
        x, y, z of the tomogram [voxels].

    Returns
    -------
    (n_tilts, 8) float64 array
        Degrees, pixels, factors less 1. Rotations are those of small angles; shifts are those of
        the tomogram's middle.
    """
    middle = (np.array(size, dtype=np.float64) - 1) / 2
    change = new[:, :3, :3] @ np.linalg.inv(old[:, :3, :3])
    rotation = geometry.nearest_rotation(change)
    found = np.zeros((len(old), len(COLUMNS)))
    found[:, :3] = np.deg2rad(geometry.rigid_angles(rotation))
    found[:, :2] = (tilting(old) @ found[:, :2, None])[..., 0]
    shift = geometry.apply(new, middle[None]) - geometry.apply(old, middle[None])
    found[:, 3:5] = shift[:, 0, :2]
    found[:, 5:] = geometry.strains((np.swapaxes(rotation, 1, 2) @ change)[:, :2, :2]) - [1, 0, 0]
    return np.asarray(found * UNITS)

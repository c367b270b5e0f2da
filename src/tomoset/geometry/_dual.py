"""Matrices that depend on parameters, and their derivatives, as dual numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tomoset.geometry._basic import Array, rotation_x, rotation_y, rotation_z

#: What there is within an image besides rotations: growth, stretch of x against y, skew.
STRAINS = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])
#: Of rotations about x, y and z: the derivative of one is the rotation times this.
_GENERATORS = np.cross(np.eye(3), np.eye(3)[:, None])


@dataclass(frozen=True, eq=False)
class DualMatrix:
    """Matrices, and their derivatives by the parameters that they depend on.

    Products have the derivatives of their factors, from left to right.

    Parameters
    ----------
    matrix : (n, 3, 3) array
    slopes : (n, k, 3, 3) array
        Derivatives by each of k parameters.

    Examples
    --------
    >>> rotation = DualMatrix.rotation(2, np.array([0.0])) @ DualMatrix.strain(np.array([[0.5]]))
    >>> rotation.matrix[0, :2, :2].tolist(), rotation.slopes[0, 0, :2, :2].tolist()
    ([[1.5, 0.0], [0.0, 1.5]], [[0.0, -1.5], [1.5, 0.0]])
    """

    matrix: Array
    slopes: Array

    @classmethod
    def rotation(cls, axis: int, radians: Array) -> DualMatrix:
        """Right-handed rotations about x, y or z (0, 1, 2), by angles (n,)."""
        rotation = (rotation_x, rotation_y, rotation_z)[axis]
        matrix = rotation(np.rad2deg(radians))[:, :3, :3]
        return cls(matrix, (matrix @ _GENERATORS[axis])[:, None])

    @classmethod
    def strain(cls, numbers: Array, first: int = 0) -> DualMatrix:
        """1 and the `STRAINS` from this one on, times numbers (n, k)."""
        n, k = numbers.shape
        matrix, slopes = np.tile(np.eye(3), (n, 1, 1)), np.zeros((n, k, 3, 3))
        slopes[:, :, :2, :2] = STRAINS[first : first + k]
        matrix += np.einsum("nk,nkij->nij", numbers, slopes)
        return cls(matrix, slopes)

    @classmethod
    def scaling(cls, logarithms: Array) -> DualMatrix:
        """Factors, by their logarithms (n,)."""
        matrix = np.exp(logarithms)[:, None, None] * np.eye(3)
        return cls(matrix, matrix[:, None])

    def __matmul__(self, other: DualMatrix) -> DualMatrix:
        slopes = self.slopes @ other.matrix[:, None], self.matrix[:, None] @ other.slopes
        return DualMatrix(self.matrix @ other.matrix, np.concatenate(slopes, axis=1))

    def in_images(self, columns: Sequence[int], count: int) -> Array:
        """Derivatives of x and y, for `image_derivatives`: (n, 3, 2, count).

        Those by the k parameters stand in these columns of `count`; the others are 0.
        """
        by = np.zeros((len(self.matrix), 3, 2, count))
        by[..., columns] = self.slopes[:, :, :2].transpose(0, 3, 2, 1)
        return by


def image_derivatives(in_images: Array, arms: Array, shift: int) -> Array:
    """How images of points change with each parameter of a camera: (..., p, 2, k).

    Parameters
    ----------
    in_images : (..., 3, 2, k) array
        Of `DualMatrix.in_images`.
    arms : (..., p, 3) array
        What the matrices act on.
    shift : int
        The parameter that shifts images along x; the next one does along y.
    """
    k = in_images.shape[-1]
    flat = arms @ in_images.reshape(*in_images.shape[:-2], 2 * k)
    change = flat.reshape(*flat.shape[:-1], 2, k)
    change[..., 0, shift] = change[..., 1, shift + 1] = 1.0
    return np.asarray(change)


def strains(matrices: Array) -> Array:
    """How much of each of the `STRAINS` there is in matrices: (n, 2, 2) to (n, 3)."""
    return np.asarray(np.einsum("nij,kij->nk", matrices, STRAINS) / 2)

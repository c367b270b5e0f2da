"""2D deformation of tilt images: q = p + d(p), the three models of RELION.

Image points and displacements are in pixels of the tilt series as stored, counted from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.geometry import DeformationBasis
from tomoset.model.quantities import refuse_impossible

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Deformation:
    """How each tilt image of a series is bent, on top of its projection.

    Parameters
    ----------
    kind : {"linear", "spline", "Fourier"}
        Basis of the displacement field.
    grid : (int, int)
        Nodes (spline) or frequencies (Fourier) in x and y. Not used by ``linear``.
    coefficients : (n_tilts, k) array
        In RELION's order, for displacements in pixels; how many k is, `DeformationBasis.slots`
        says.

    Raises
    ------
    ModelError
        If the kind is unknown or k does not fit the grid.

    Examples
    --------
    >>> bent = Deformation(kind="linear", grid=(3, 3), coefficients=[[0.01, 0.0, 0.0]])
    >>> bent.displacement([[[74.0, 10.0]]], image_size=(48, 20)).tolist()
    [[[0.5, 0.0]]]
    """

    kind: str
    grid: tuple[int, int]
    coefficients: Array

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, dtype=np.float64)
        expected = self.basis((1, 1)).count
        if coefficients.ndim != 2 or coefficients.shape[1] != expected:
            raise ModelError(
                f"a {self.kind} deformation on a {self.grid[0]} x {self.grid[1]} grid has "
                f"{expected} coefficients per tilt image, not an array of shape "
                f"{coefficients.shape}"
            )
        refuse_impossible("coefficients", coefficients)
        coefficients.flags.writeable = False
        object.__setattr__(self, "coefficients", coefficients)

    def basis(self, image_size: tuple[int, int]) -> DeformationBasis:
        """The functions that the coefficients belong to, in images of this size [px]."""
        return DeformationBasis(self.kind, self.grid, image_size)

    def displacement(self, points: npt.ArrayLike, *, image_size: tuple[int, int]) -> Array:
        """Displacement d(p) of image points.

        Parameters
        ----------
        points : (n_tilts, n_points, 2) array
            x, y [px] as the projections give them.
        image_size : (int, int)
            Width and height of the tilt images [px].

        Returns
        -------
        (n_tilts, n_points, 2) float64 array
            To be added to `points` [px].
        """
        basis, p = self.basis(image_size), np.asarray(points, dtype=np.float64)
        moved = [basis.displacement(c, at) for c, at in zip(self.coefficients, p, strict=True)]
        return np.array(moved).reshape(p.shape)

    def field(
        self, shape: tuple[int, int], factors: npt.ArrayLike, *, image_size: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Displacements at all pixels of images that are smaller.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the smaller images [their px].
        factors : (2,) array
            Pixels of a tilt image in one of theirs, along x and y; the first ones coincide.
        image_size : (int, int)
            Width and height of the tilt images [px].

        Returns
        -------
        (n_tilts, 2, height, width) float32 array
            Along x and y [px of the smaller images].
        """
        basis, (height, width) = self.basis(image_size), shape
        by_image = np.swapaxes(basis.matrix(self.coefficients), 1, 2)
        found = np.empty((len(self.coefficients), 2, height, width), dtype=np.float32)
        scale = np.asarray(factors, dtype=np.float64)
        for y in range(height):  # row by row: the functions need much memory for each point
            points = np.stack([np.arange(width), np.full(width, y)], axis=1) * scale
            found[:, :, y] = np.swapaxes(basis.values(points) @ by_image / scale, 1, 2)
        return found

    def undo(
        self, points: npt.ArrayLike, *, image_size: tuple[int, int], tolerance: float = 1e-9
    ) -> Array:
        """The p for which p + d(p) is the given image point: fixed-point iteration.

        Shapes as in `displacement`. NaN stays NaN.

        Raises
        ------
        ModelError
            If the field folds over itself, so that no single p exists.
        """
        q = np.asarray(points, dtype=np.float64)
        p = q
        for _ in range(200):
            step = q - self.displacement(np.nan_to_num(p), image_size=image_size) - p
            p = p + step
            if not (np.abs(step[np.isfinite(step)]) > tolerance).any():
                return p
        raise ModelError("the 2D deformation cannot be inverted: it folds the image over itself")

"""2D deformation of tilt images: q = p + d(p), the three models of RELION.

Specification section 2.5 (RELION's ``linear_``, ``spline_`` and
``Fourier_2D_deformation_model``). Image points and displacements are in pixels of the
tilt series as stored, counted from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

#: RELION's spelling of the models.
KINDS = ("linear", "spline", "Fourier")


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
        In RELION's order; k is 3 (linear), 8 gx gy (spline) or 4 N (Fourier, N as
        `frequencies` counts them). Displacements in pixels.

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
        if self.kind not in KINDS:
            raise ModelError(f"deformation must be one of {', '.join(KINDS)}, not {self.kind!r}")
        coefficients = np.array(self.coefficients, dtype=np.float64)
        expected = self._coefficient_count()
        if coefficients.ndim != 2 or coefficients.shape[1] != expected:
            raise ModelError(
                f"a {self.kind} deformation on a {self.grid[0]} x {self.grid[1]} grid has "
                f"{expected} coefficients per tilt image, not an array of shape "
                f"{coefficients.shape}"
            )
        coefficients.flags.writeable = False
        object.__setattr__(self, "coefficients", coefficients)

    def _coefficient_count(self) -> int:
        gx, gy = self.grid
        if self.kind == "linear":
            return 3
        if self.kind == "spline":
            if gx < 2 or gy < 2:
                raise ModelError(f"a spline needs at least 2 x 2 nodes, not {gx} x {gy}")
            return 8 * gx * gy
        return 4 * len(frequencies(self.grid))

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
        p = np.asarray(points, dtype=np.float64)
        size = np.asarray(image_size, dtype=np.float64)
        evaluate = {"linear": self._linear, "spline": self._spline, "Fourier": self._fourier}
        return evaluate[self.kind](p, size)

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

    def _linear(self, p: Array, size: Array) -> Array:
        r = p - size / 2
        axx, axy, ayy = (self.coefficients[:, i, None] for i in range(3))
        return np.stack([axx * r[..., 0], axy * r[..., 0] + ayy * r[..., 1]], axis=-1)

    def _spline(self, p: Array, size: Array) -> Array:
        gx, gy = self.grid
        # (tilt, dimension, node y, node x, [value, slope x, slope y, twist])
        nodes = self.coefficients.reshape(-1, 2, gy, gx, 4)
        cells = np.array([gx - 1, gy - 1])
        u = np.clip(p / (size / cells), 0.0, cells)
        cell = np.minimum(u.astype(int), cells - 1)
        s, t = np.moveaxis(u - cell, -1, 0)
        hs, ht = _hermite(s), _hermite(t)
        tilt = np.arange(len(nodes))[:, None]
        total = np.zeros(p.shape)
        for i in (0, 1):
            for j in (0, 1):
                value, slope_x, slope_y, twist = np.moveaxis(
                    nodes[tilt, :, cell[..., 1] + j, cell[..., 0] + i], -1, 0
                )
                vs, ss = hs[i][..., None], hs[2 + i][..., None]
                vt, st = ht[j][..., None], ht[2 + j][..., None]
                total += vs * vt * value + ss * vt * slope_x + vs * st * slope_y + ss * st * twist
        return total

    def _fourier(self, p: Array, size: Array) -> Array:
        waves = frequencies(self.grid) * np.pi / size
        # (tilt, dimension, wave, [real, imaginary])
        c = self.coefficients.reshape(len(self.coefficients), 2, -1, 2)
        phase = p @ waves.T
        even = np.einsum("npw,ndw->npd", np.cos(phase), c[..., 0])
        odd = np.einsum("npw,ndw->npd", np.sin(phase), c[..., 1])
        return np.asarray(even + odd)


def frequencies(grid: tuple[int, int]) -> Array:
    """Frequencies of the Fourier model, in half periods per image: (N, 2), RELION's order.

    Examples
    --------
    >>> frequencies((3, 3)).tolist()
    [[1.0, 0.0], [1.0, -2.0], [1.0, -1.0]]
    """
    gx, gy = grid
    waves = []
    for y in range(gy):
        upper = y < gy // 2
        first = 0 if upper and y > 0 else 1
        waves += [(x, y if upper else y - gy) for x in range(first, gx // 2 + 1)]
    return np.array(waves, dtype=np.float64).reshape(-1, 2)


def _hermite(s: Array) -> tuple[Array, Array, Array, Array]:
    """Cubic Hermite weights of value at 0, value at 1, slope at 0, slope at 1."""
    s2, s3 = s * s, s * s * s
    return 1 - 3 * s2 + 2 * s3, 3 * s2 - 2 * s3, s - 2 * s2 + s3, s3 - s2

"""The transform of a cloud of points: spread over a fine grid, transformed, the spread undone.

The kernel is the exponential of a semicircle (Barnett, Magland and af Klinteberg, SIAM J. Sci.
Comput. 41, C479, 2019): six cells wide on a grid 1.25 times as fine as the pixels, it is exact
to a few parts in 10000, and to 2 in 1000 for the finest waves.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex64]

#: Half the width of the kernel, in cells, and its parameter for `_FINER`.
REACH, BETA = 3, 0.97 * np.pi * 6 * (1 - 0.5 / 1.25)
#: Cells of the grid per pixel, at least.
_FINER = 1.25
#: Below, the compiled loop would save less time than loading it takes.
_FEW = 3000
#: Parts of a cell that the kernel is kept for, where there are very many points.
_STEPS = 4096


class Field:
    """An image with a margin, so that what lies just outside acts on it and nothing wraps round.

    Parameters
    ----------
    image_size : (int, int)
        Width and height of the image [px].
    margin : int
        At each edge, at least [px].
    """

    def __init__(self, image_size: tuple[int, int], margin: int) -> None:
        import scipy.fft

        def even(at_least: float) -> int:
            return 2 * int(scipy.fft.next_fast_len(int(np.ceil(at_least / 2)), real=True))

        self.image_size = image_size
        self.size = [even(n + 2 * margin) for n in image_size]
        self.cells = [even(_FINER * n) for n in self.size]
        self.first = [(n - m) // 2 for n, m in zip(self.size, image_size, strict=True)]
        width, height = self.size
        waves = np.arange(width // 2 + 1), np.round(np.fft.fftfreq(height) * height)
        x, y = (kernel_transform(w / n) for w, n in zip(waves, self.cells, strict=True))
        self._undo = (1 / (y[:, None] * x)).astype(np.float32)
        # A wave of two pixels has no phase.
        self._undo[height // 2] = self._undo[:, -1] = 0

    def frequencies(self, pixel_size: float) -> tuple[Array, Array]:
        """Spatial frequencies of spectra, x as (1, n) and y as (n, 1) [1/Å]."""
        width, height = self.size
        x: Array = np.fft.rfftfreq(width, pixel_size).astype(np.float64)
        y: Array = np.fft.fftfreq(height, pixel_size).astype(np.float64)
        return x[None], y[:, None]

    def transform(self, points: Array, weights: Array) -> Spectrum:
        """Sum of weight exp(-2 pi i k r) over points r: those in the field, x, y [px].

        The origin is the corner of the margin.
        """
        grid = np.zeros(self.cells[::-1], dtype=np.float32)
        spread(grid, self._in_cells(points), weights)
        return self._spectrum(grid)

    def transforms(
        self, points: Array, level: Array, weights: Array, planes: int
    ) -> list[Spectrum]:
        """The same of very many points that are shared between planes: one spectrum a plane.

        `level` is 0 at the first of so many planes, 2 or more, 1 at the second, and so on: a point
        in between belongs to both, the more the nearer.
        """
        from tomoset.simulate import _kernels

        grids = np.zeros((planes, *self.cells[::-1]), dtype=np.float32)
        _kernels.spread_between(grids, self._in_cells(points), level, weights, kernel_table())
        return [self._spectrum(grid) for grid in grids]

    def holds(self, points: Array) -> npt.NDArray[np.bool_]:
        """Which points are in the field: (n,)."""
        cells = self._in_cells(points)
        whole = (cells >= REACH - 1) & (cells < np.array(self.cells) - REACH)
        return np.asarray(whole.all(axis=1))

    def _in_cells(self, points: Array) -> Array:
        return np.asarray((points + self.first) * np.divide(self.cells, self.size))

    def _spectrum(self, grid: npt.NDArray[np.float32]) -> Spectrum:
        """The transform of a grid, the spread undone."""
        import scipy.fft

        width, height = self.size
        rows = scipy.fft.rfft(grid, axis=1)[:, : width // 2 + 1]
        plane = scipy.fft.fft(rows, axis=0)
        spectrum = np.concatenate([plane[: height // 2], plane[-(height // 2) :]])
        spectrum *= self._undo
        return np.asarray(spectrum, dtype=np.complex64)

    def image(self, spectrum: Spectrum) -> npt.NDArray[np.float32]:
        """Pixels of which a spectrum is the transform: (height, width) without the margin."""
        import scipy.fft

        full = scipy.fft.irfft2(spectrum, s=self.size[::-1])
        width, height = self.image_size
        return np.asarray(full[self.first[1] :, self.first[0] :][:height, :width])


@cache
def kernel_table() -> npt.NDArray[np.float32]:
    """The kernel at the cells about a point, for each part of a cell that the point is off."""
    off = (np.arange(_STEPS)[:, None] + 0.5) / _STEPS
    apart = (np.arange(2 * REACH) - REACH + 1 - off) / REACH
    kernel = np.exp(BETA * (np.sqrt(np.maximum(1 - apart**2, 0)) - 1))
    return np.asarray(kernel, dtype=np.float32)


def kernel_transform(frequency: npt.ArrayLike) -> Array:
    """The Fourier transform of the kernel at frequencies [1/cell], by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(48)
    kernel = np.exp(BETA * (np.sqrt(1 - nodes**2) - 1))
    waves = np.cos(2 * np.pi * REACH * np.multiply.outer(np.asarray(frequency), nodes))
    return np.asarray(REACH * (waves @ (weights * kernel)))


def spread(grid: npt.NDArray[np.float32], points: Array, weights: Array) -> None:
    """Add points to a grid, each as a small blot; those near its edge are left out.

    Parameters
    ----------
    grid : (y, x) float32 array
        Is changed.
    points : (n, 2) array
        x, y [cells].
    weights : (n,) array
        What each blot is multiplied with.
    """
    if len(points) < _FEW:
        spread_slowly(grid, points, weights)
    else:
        from tomoset.simulate import _kernels

        _kernels.spread(grid, points, weights, REACH, BETA)


def spread_slowly(grid: npt.NDArray[np.float32], points: Array, weights: Array) -> None:
    """The same in NumPy."""
    first = np.floor(points).astype(np.int64) - REACH + 1
    inside = ((first >= 0) & (first + 2 * REACH <= np.array(grid.shape[::-1]))).all(axis=1)
    first, points, weights = first[inside], points[inside], weights[inside]
    cells = first[..., None] + np.arange(2 * REACH)
    apart = (cells - points[..., None]) / REACH
    blots = np.exp(BETA * (np.sqrt(np.maximum(1 - apart**2, 0)) - 1))
    values = weights[:, None, None] * blots[:, 1, :, None] * blots[:, 0, None, :]
    np.add.at(grid, (cells[:, 1, :, None], cells[:, 0, None, :]), values)

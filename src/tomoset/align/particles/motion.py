"""How particles move: a Gaussian process over space and dose, as a sum of its largest modes.

Velocities of two particles a distance d apart have the covariance sv² exp(-d/sd), and those of
different times none; where a particle is, is its velocity summed over the dose since the first
image. That covariance is a product of one in space and one in time, and so are its modes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.problem import MotionOptions
from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: What is left out of the variance of all places and times.
_LEFT_OUT = 0.01
#: Particles whose covariance is solved for; the modes of others follow from those (Nystroem).
_MOST = 1000


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of motion, each with a standard deviation of 1 along every axis.

    Parameters
    ----------
    space : (n_particles, s) array
        Modes over particles [voxels].
    which : (m,) int array
        The one of them that each mode is made of,
    time : (n_tilts, m) array
        and its course; 0 in the image of the lowest dose.
    """

    space: Array
    which: Index
    time: Array

    @property
    def count(self) -> int:
        return len(self.which)

    def displacements(self, coefficients: Array) -> Array:
        """Of coefficients (m, 3): (n_tilts, n_particles, 3) [voxels]."""
        return np.asarray(
            np.einsum(
                "tm,pm,mi->tpi", self.time, self.space[:, self.which], coefficients, optimize=True
            )
        )

    def of(self, rows: Index) -> Modes:
        """Those of some particles only."""
        return Modes(self.space[rows], self.which, self.time)

    def slope(self, by_place: Array) -> Array:
        """Slopes by coefficients, (m, 3), of those by places (n_tilts, n_particles, 3)."""
        reached = np.einsum("ps,tpi->sti", self.space, by_place, optimize=True)[self.which]
        return np.asarray(np.einsum("tm,mti->mi", self.time, reached, optimize=True))

    def normal(self, information: Array) -> Array:
        """Information on coefficients, (m, 3, m, 3), of that on places.

        Parameters
        ----------
        information : (n_tilts, n_particles, 3, 3) array
        """
        from tomoset.align.particles import _kernels

        count = self.space.shape[1]
        first, second = np.triu_indices(count)
        pairs = np.zeros((count, count), dtype=np.int64)
        pairs[first, second] = pairs[second, first] = np.arange(len(first))
        products = self.space[:, first] * self.space[:, second]
        tilts, particles = information.shape[:2]
        # Six of the nine: they are symmetric.
        row, column = np.triu_indices(3)
        flat = information[:, :, row, column].transpose(1, 2, 0).reshape(particles, 6 * tilts)
        upper = (products.T @ flat).reshape(-1, 6, tilts)
        by_pair = upper[:, np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])]
        out = np.zeros((self.count, 3, self.count, 3))
        _kernels.mix(by_pair, pairs, self.which, np.ascontiguousarray(self.time.T), out)
        return out

    def cross(self, information: Array) -> Array:
        """Information that coefficients share with places: (m, 3, n_particles, 3)."""
        tilts, particles = information.shape[:2]
        over_time = (self.time.T @ information.reshape(tilts, -1)).reshape(-1, particles, 3, 3)
        shared = over_time * self.space.T[self.which][..., None, None]
        return np.asarray(shared.transpose(0, 2, 1, 3))

    def with_others(self, tilt: int, shared: Array) -> Array:
        """And with other numbers, of what these share with places in one tilt image.

        Parameters
        ----------
        tilt : int
        shared : (n_particles, f, 3) array

        Returns
        -------
        (f, m, 3) float64 array
        """
        reached = np.einsum("pfi,ps->fsi", shared, self.space, optimize=True)
        return np.asarray(reached[:, self.which] * self.time[tilt][:, None])


def modes(
    positions: Array, pre_exposure: Array, pixel_size: float, options: MotionOptions
) -> Modes:
    """Set up.

    Parameters
    ----------
    positions : (n_particles, 3) array
        [voxels]
    pre_exposure : (n_tilts,) array
        [e/Å²]
    pixel_size : float
        [Å]
    options : MotionOptions

    Raises
    ------
    ModelError
        If all images have the same dose.
    """
    order = np.argsort(pre_exposure, kind="stable")
    steps = np.diff(pre_exposure[order])
    if not steps.any():
        raise ModelError("motion needs the dose of each tilt image, and here all have the same")
    walk = np.zeros(len(order))
    walk[order[1:]] = np.cumsum(steps**2)
    in_time = _largest(np.minimum.outer(walk, walk), len(walk))
    in_time[walk == 0] = 0.0  # to the last bit: RELION's trajectories begin there
    in_space = _spatial(positions * pixel_size, options)
    variance = np.outer((in_space**2).mean(axis=0), (in_time**2).mean(axis=0))
    first = np.argsort(-variance, axis=None, kind="stable")[: options.max_modes]
    enough = np.cumsum(variance.ravel()[first]) < (1 - _LEFT_OUT) * variance.sum()
    kept = first[: int(enough.sum()) + 1]
    space, time = np.unravel_index(kept, variance.shape)
    scale = options.sigma_velocity / pixel_size
    reached = int(space.max()) + 1
    return Modes(scale * in_space[:, :reached], space.astype(np.int64), in_time[:, time])


def _spatial(places: Array, options: MotionOptions) -> Array:
    """Modes over particles, times the roots of their variances: (n_particles, m)."""
    some = np.unique(np.linspace(0, len(places) - 1, _MOST).astype(np.int64))
    if len(some) >= len(places):
        return _largest(_covariance(places, places, options), options.max_modes)
    root = _largest(_covariance(places[some], places[some], options), options.max_modes)
    # A mode's value elsewhere: its values here, by the covariance between here and there.
    across = _covariance(places, places[some], options)
    return np.asarray(across @ (root / (root**2).sum(axis=0)))


def _covariance(a: Array, b: Array, options: MotionOptions) -> Array:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    ratio = np.maximum(square, 0.0) / options.sigma_divergence**2
    return np.asarray(np.exp(-ratio if options.square_exponential else -np.sqrt(ratio)))


def _largest(covariance: Array, most: int) -> Array:
    """Eigenvectors times the roots of their eigenvalues, the largest first."""
    from scipy.linalg import eigh

    n = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=(max(n - most, 0), n - 1))
    kept = values > 1e-9 * values[-1]
    return np.asarray((vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1])

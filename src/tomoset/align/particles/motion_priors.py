"""Motion priors: Gaussian processes over space and dose, as sums of their largest modes.

Velocities of two particles a distance d apart have the covariance sv² exp(-d/sd); a displacement is
the velocity integrated over the dose since the first image. There are three processes: `brownian`,
where velocities of different images are independent (RELION's), `linear`, where the velocity is
constant, and `integrated_brownian`, where the velocity is Brownian, with a variance that reaches
that of the others at the full dose. The variance of each is learned. Covariances are products of
one in space and one in time, and so are modes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.motion import Modes
from tomoset.align.particles.problem import MotionOptions
from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Modes in space that tell the priors apart: those of the longest range.
COARSE = 16
#: What is left out of the variance of a prior over time.
_LEFT_OUT = 0.02
#: Particles whose covariance is solved for; the modes of others follow from those (Nystroem).
_MOST = 1000


def _brownian(dose: Array) -> Array:
    """Covariance of sums of independent steps from image to image: (n_tilts, n_tilts)."""
    order = np.argsort(dose, kind="stable")
    variance = np.zeros(len(dose))
    variance[order[1:]] = np.cumsum(np.diff(dose[order]) ** 2)
    return np.minimum.outer(variance, variance)


def _integrated_brownian(dose: Array) -> Array:
    """Covariance of displacements by a Brownian velocity."""
    low, high = np.minimum.outer(dose, dose), np.maximum.outer(dose, dose)
    return np.asarray(low**2 * (3 * high - low) / (6 * dose.max()))


def _linear(dose: Array) -> Array:
    """Covariance of displacements by a constant velocity."""
    return np.outer(dose, dose)


#: The motion priors, from rough to smooth.
MOTION_PRIORS = ("brownian", "integrated_brownian", "linear")
_COVARIANCES: dict[str, Callable[[Array], Array]] = {
    "brownian": _brownian,
    "integrated_brownian": _integrated_brownian,
    "linear": _linear,
}


@dataclass(frozen=True, eq=False)
class MotionModes:
    """All modes of all motion priors.

    Parameters
    ----------
    space : (n_particles, s) array
        Over particles [voxels].
    times : (n_tilts, k) array
        Over images; 0 in the image of the lowest dose.
    priors : (k,) int array
        Of which of `MOTION_PRIORS` each of these is.
    means : (k, 3, 3) array
        As of `Modes`.
    most : int
        Modes of `detailed`.
    """

    space: Array
    times: Array
    priors: Index
    means: Array
    most: int

    @classmethod
    def of(
        cls,
        positions: Array,
        pre_exposure: Array,
        linear: Array,
        pixel_size: float,
        options: MotionOptions,
    ) -> MotionModes:
        """Set up.

        Parameters
        ----------
        positions : (n_particles, 3) array
            [voxels]
        pre_exposure : (n_tilts,) array
            [e/Å²]
        linear : (n_tilts, 2, 3) array
            Of the projections.
        pixel_size : float
            [Å]
        options : MotionOptions

        Raises
        ------
        ModelError
            If all images have the same dose.
        """
        dose = np.asarray(pre_exposure - np.min(pre_exposure, initial=np.inf))
        if not dose.any():
            raise ModelError("motion needs the dose of each tilt image, and here all have the same")
        each = [_largest(_COVARIANCES[name](dose), len(dose)) for name in MOTION_PRIORS]
        times = np.concatenate(each, axis=1)
        times[dose == 0] = 0.0  # to the last bit: RELION's trajectories begin there
        priors = np.repeat(np.arange(len(each)), [time.shape[1] for time in each])
        space = options.sigma_velocity / pixel_size * _spatial(positions * pixel_size, options)
        return cls(space, times, priors, _means(times, linear), options.max_modes)

    def coarse(self) -> Modes:
        """Those of the longest range in space, of all priors."""
        reached = np.arange(min(COARSE, self.space.shape[1]))
        times = []
        for prior in range(len(MOTION_PRIORS)):
            mine = np.flatnonzero(self.priors == prior)
            variance = (self.times[:, mine] ** 2).sum(axis=0)
            enough = np.cumsum(variance) < (1 - _LEFT_OUT) * variance.sum()
            times.append(mine[: int(enough.sum()) + 1])
        when = np.concatenate(times)
        return self._chosen(np.repeat(reached, len(when)), np.tile(when, len(reached)))

    def detailed(self, variances: Array) -> Modes:
        """Those of the largest displacements, by the variances of the priors."""
        variance = np.outer(
            (self.space**2).mean(axis=0),
            (self.times**2).mean(axis=0) * variances[self.priors],
        )
        first = np.argsort(-variance, axis=None, kind="stable")[: self.most]
        return self._chosen(*np.unravel_index(first, variance.shape))

    def _chosen(self, which: Index, when: Index) -> Modes:
        space = self.space[:, : int(which.max()) + 1]
        return Modes(space, self.times, self.priors, which, when, self.means)


def _means(time: Array, linear: Array) -> Array:
    """Average positions, by least squares, of displacements along each axis: (k, 3, 3)."""
    each = np.swapaxes(linear, 1, 2) @ linear
    inverse = np.linalg.pinv(each.sum(axis=0), rcond=1e-6, hermitian=True)
    return np.asarray(inverse @ np.einsum("tm,tij->mij", time, each))


def _spatial(positions: Array, options: MotionOptions) -> Array:
    """Modes over particles, times the roots of their variances: (n_particles, m)."""
    some = np.unique(np.linspace(0, len(positions) - 1, _MOST).astype(np.int64))
    if len(some) >= len(positions):
        return _largest(_covariance(positions, positions, options), options.max_modes)
    root = _largest(_covariance(positions[some], positions[some], options), options.max_modes)
    # A mode's value elsewhere: its values here, by the covariance between here and there.
    across = _covariance(positions, positions[some], options)
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

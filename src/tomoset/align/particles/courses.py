"""How particles move: Gaussian processes over space and dose, as sums of their largest modes.

Velocities of two particles a distance d apart have the covariance sv² exp(-d/sd); where a particle
is, is its velocity summed over the dose since the first image. Velocities of different images have
nothing to do with each other in a `walk`, as in RELION; are the same in a `drift`; and walk in a
`swerve`, by as much as they are in all the dose. How much there is of each is learned. Covariances
are products of one in space and one in time, and so are modes.
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

#: Modes in space that it takes to tell the courses apart, those that reach farthest.
COARSE = 16
#: What is left out of the variance of a course over time.
_LEFT_OUT = 0.02
#: Particles whose covariance is solved for; the modes of others follow from those (Nystroem).
_MOST = 1000


def _walk(dose: Array) -> Array:
    """Covariance of the ways that steps from image to image add up to: (n_tilts, n_tilts)."""
    order = np.argsort(dose, kind="stable")
    walked = np.zeros(len(dose))
    walked[order[1:]] = np.cumsum(np.diff(dose[order]) ** 2)
    return np.minimum.outer(walked, walked)


def _swerve(dose: Array) -> Array:
    """Covariance of the ways of a velocity that walks."""
    low, high = np.minimum.outer(dose, dose), np.maximum.outer(dose, dose)
    return np.asarray(low**2 * (3 * high - low) / (6 * dose.max()))


def _drift(dose: Array) -> Array:
    """Covariance of the ways of a velocity that stays."""
    return np.outer(dose, dose)


#: What there is of motions, from rough to smooth.
COURSES = ("walk", "swerve", "drift")
_COVARIANCES: dict[str, Callable[[Array], Array]] = {
    "walk": _walk,
    "swerve": _swerve,
    "drift": _drift,
}


@dataclass(frozen=True, eq=False)
class Motions:
    """All modes that there are of motions.

    Parameters
    ----------
    space : (n_particles, s) array
        Over particles [voxels].
    times : (n_tilts, k) array
        Over images; 0 in the image of the lowest dose.
    courses : (k,) int array
        Of which of `COURSES` each of these is.
    means : (k, 3, 3) array
        As of `Modes`.
    most : int
        Modes of `detailed`.
    """

    space: Array
    times: Array
    courses: Index
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
    ) -> Motions:
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
        each = [_largest(_COVARIANCES[name](dose), len(dose)) for name in COURSES]
        times = np.concatenate(each, axis=1)
        times[dose == 0] = 0.0  # to the last bit: RELION's trajectories begin there
        courses = np.repeat(np.arange(len(each)), [time.shape[1] for time in each])
        space = options.sigma_velocity / pixel_size * _spatial(positions * pixel_size, options)
        return cls(space, times, courses, _means(times, linear), options.max_modes)

    def coarse(self) -> Modes:
        """Those that reach farthest, of all courses."""
        reached = np.arange(min(COARSE, self.space.shape[1]))
        times = []
        for course in range(len(COURSES)):
            mine = np.flatnonzero(self.courses == course)
            variance = (self.times[:, mine] ** 2).sum(axis=0)
            enough = np.cumsum(variance) < (1 - _LEFT_OUT) * variance.sum()
            times.append(mine[: int(enough.sum()) + 1])
        when = np.concatenate(times)
        return self._chosen(np.repeat(reached, len(when)), np.tile(when, len(reached)))

    def detailed(self, variances: Array) -> Modes:
        """Those that move particles farthest, by the variances of the courses."""
        variance = np.outer(
            (self.space**2).mean(axis=0),
            (self.times**2).mean(axis=0) * variances[self.courses],
        )
        first = np.argsort(-variance, axis=None, kind="stable")[: self.most]
        return self._chosen(*np.unravel_index(first, variance.shape))

    def _chosen(self, which: Index, when: Index) -> Modes:
        space = self.space[:, : int(which.max()) + 1]
        return Modes(space, self.times, self.courses, which, when, self.means)


def _means(time: Array, linear: Array) -> Array:
    """Places by least squares of what goes along each axis by modes in time: (k, 3, 3)."""
    each = np.swapaxes(linear, 1, 2) @ linear
    inverse = np.linalg.pinv(each.sum(axis=0), rcond=1e-6, hermitian=True)
    return np.asarray(inverse @ np.einsum("tm,tij->mij", time, each))


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

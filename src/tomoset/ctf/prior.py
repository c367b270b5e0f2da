"""What the defoci of a series have in common: a smooth course over its tilts, and scatter.

A Gaussian process over the tilt angle, whose variances are averages over all that images that show
rings allow. A focus that jumps does not belong to it: an image that contradicts the others
by far counts by itself.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Standard deviations that are tried of the smooth course and of the scatter [Å].
_SMOOTH, _ROUGH = (0.0, 100.0, 300.0, 1000.0, 3000.0), (30.0, 80.0, 200.0, 500.0, 1200.0)
#: Over so many degrees the course changes.
LENGTH = 20.0
#: What all have in common may be anything [Å].
_ANY = 1e5
#: Images further from the others than this, in standard deviations, count by themselves.
_FAR = 5.0


@dataclass(frozen=True)
class Course:
    """How defocus goes along with tilt.

    Parameters
    ----------
    smooth, rough : float
        Standard deviations of the smooth course, and of single images about it [Å].
    """

    smooth: float
    rough: float

    def covariance(self, angles: Array) -> Array:
        """Of the defoci of images at these angles [deg], their mean left out: (n, n) [Å²]."""
        apart = np.abs(angles[:, None] - angles)
        return self.smooth**2 * np.exp(-apart / LENGTH) + self.rough**2 * np.eye(len(angles))

    def predicted(self, angles: Array, means: Array, deviations: Array) -> tuple[Array, Array]:
        """What the other images say of each one.

        Parameters
        ----------
        angles : (n,) array
            Of the images [deg].
        means, deviations : (n,) arrays
            What each says by itself; infinite deviations where it says nothing [Å].

        Returns
        -------
        (n,) array, (n,) array
            Mean and standard deviation [Å].
        """
        variance = np.minimum(deviations, _ANY) ** 2
        centre = np.median(means)
        whole = self.covariance(angles) + _ANY**2 + np.diag(variance)
        inverse = np.linalg.inv(whole)
        # Leaving one out: Rasmussen and Williams, Gaussian processes, 5.12.
        left = 1 / np.diag(inverse)
        mean = (means - centre) - (inverse @ (means - centre)) * left
        return mean + centre, np.sqrt(np.maximum(left - variance, 1.0))

    def log_likelihood(self, angles: Array, means: Array, deviations: Array) -> float:
        """Logarithm of how likely these are, but for a constant."""
        whole = self.covariance(angles) + _ANY**2 + np.diag(deviations**2)
        lower = np.linalg.cholesky(whole)
        scaled = np.linalg.solve(lower, means - means.mean())
        return float(-0.5 * scaled @ scaled - np.log(np.diag(lower)).sum())


def course_of(angles: Array, means: Array, deviations: Array) -> Course:
    """The course that is learnt from some images.

    Parameters
    ----------
    angles : (n,) array
        Of the images [deg].
    means, deviations : (n,) arrays
        What each says by itself; infinite deviations where it says nothing [Å].

    Examples
    --------
    >>> angles = np.arange(-60.0, 61.0, 3.0)
    >>> found = course_of(angles, np.full(41, 30000.0), np.full(41, 20.0))
    >>> found.smooth < 50, found.rough < 50
    (True, True)
    """
    told = np.isfinite(deviations)
    if told.sum() < 3:
        return Course(300.0, 500.0)
    best = _averaged(angles[told], means[told], deviations[told])
    mean, error = best.predicted(angles[told], means[told], deviations[told])
    far = np.abs(means[told] - mean) > _FAR * np.hypot(error, deviations[told])
    if far.any() and (~far).sum() > 3:
        kept = np.flatnonzero(told)[~far]
        best = _averaged(angles[kept], means[kept], deviations[kept])
    return best


def _averaged(angles: Array, means: Array, deviations: Array) -> Course:
    tried = [Course(smooth, rough) for smooth, rough in itertools.product(_SMOOTH, _ROUGH)]
    likely = np.array([course.log_likelihood(angles, means, deviations) for course in tried])
    share = np.exp(likely - np.logaddexp.reduce(likely))
    squares = np.array([(course.smooth**2, course.rough**2) for course in tried])
    smooth, rough = np.sqrt(share @ squares).tolist()
    return Course(smooth, rough)


def with_strays(offsets: Array, mean: float, deviation: float, stray: float) -> Array:
    """How likely each of some offsets is, of which a part has nothing to do with the others.

    Parameters
    ----------
    offsets : (n,) array
        Evenly spaced.
    mean, deviation : float
        Of those that have.
    stray : float
        That part.
    """
    near = np.exp(-0.5 * ((offsets - mean) / deviation) ** 2)
    total = near.sum()
    if not total > math.exp(-300):
        return np.full(len(offsets), 1 / len(offsets))
    return np.asarray((1 - stray) * near / total + stray / len(offsets))

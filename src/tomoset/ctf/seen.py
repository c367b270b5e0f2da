"""How sure it is that each image shows rings, how fine ones, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.ctf.fit import Bands, Fit
from tomoset.ctf.prior import Course

Array = npt.NDArray[np.float64]

#: Images whose rings are this much likelier than none say something of the others' defocus.
SAYS = 3.0
#: Rings are seen where those of so many standard deviations lie about a frequency, and all coarser
#: ones are.
_CLEAR = 3.0
#: Over this part of all bands what is seen is averaged; over more if rings are too faint for that.
_WINDOWS = (0.12, 0.25, 0.5)


@dataclass(frozen=True, eq=False)
class Seen:
    """What images show.

    Parameters
    ----------
    merit : (n_tilts,) array
        Correlation of each one's bands with its rings, 0 to 1.
    resolution : (n_tilts,) array
        To which they are seen [Å]; infinite if they are not.
    """

    merit: Array
    resolution: Array


def seen_of(fit: Fit) -> Seen:
    """What each image shows of the rings that were found."""
    merit, resolution = np.zeros(len(fit.seen)), np.full(len(fit.seen), np.inf)
    for i, bands in enumerate(fit.seen):
        square = bands.square.diagonal()
        if not (square > 0).any():
            continue
        height = bands.along / np.maximum(square, 1e-9)
        merit[i] = max(0.0, float(np.mean(height) / np.sqrt(np.mean(height**2) + 1e-12)))
        resolution[i] = _resolution(bands)
    return Seen(merit, resolution)


def evidence(fit: Fit, course: Course, angles: Array) -> Array:
    """Natural logarithms of how much likelier rings are in each image than none: (n_tilts,).

    Of the likeliest defocus, less what it gains by being chosen of all that the others predict
    (Laplace's approximation).

    Parameters
    ----------
    fit : Fit
        Of the series.
    course : Course
        Of its defocus.
    angles : (n_tilts,) array
        Tilts [deg].
    """
    told = (fit.rings > SAYS) & np.isfinite(fit.deviation)
    _, error = course.predicted(angles, fit.single, np.where(told, fit.deviation, np.inf))
    return np.asarray(fit.rings - 0.5 * np.log1p((error / fit.deviation) ** 2))


def _resolution(bands: Bands) -> float:
    """The finest period to which means over neighbouring bands are clear without a gap [Å]."""
    n = len(bands.k2)
    for window in _WINDOWS:
        kernel = np.ones(min(2 * max(1, round(window * n / 2)) + 1, n))
        along = np.convolve(bands.along, kernel, "same") / bands.hotter
        whole = np.convolve(bands.square.diagonal(), kernel, "same") / bands.hotter
        clear = along > _CLEAR * np.sqrt(whole)
        if clear.any():
            first = int(clear.argmax())
            dark = np.flatnonzero(~clear[first:])
            last = first + int(dark[0]) - 1 if len(dark) else n - 1
            return float(1 / np.sqrt(bands.k2[last]))
    return float("inf")

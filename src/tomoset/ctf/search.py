"""From the defoci that the images may have in common to the one that fits them, and the fit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.ctf.absorbed import Absorbed
from tomoset.ctf.coarse import Common
from tomoset.ctf.cropped import CroppedImages
from tomoset.ctf.fit import Fit, SeriesFit
from tomoset.ctf.known import Known, Parameters
from tomoset.ctf.near import REACH, Near, NearSearch
from tomoset.ctf.options import CtfOptions
from tomoset.ctf.prior import Course, course_of
from tomoset.ctf.sectors import Sectors
from tomoset.ctf.seen import SAYS
from tomoset.ctf.terms import OWN, expected
from tomoset.hand.coarse import microscope
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: The finest rings that are looked for [Å].
FINEST = 4.3
#: Defoci that are this much less likely are tried too, if they are out of reach of the best
#: [natural logarithm].
_WITHIN = 10.0
#: A fit says at least this part of what large tiles say; else the whole range is looked at in so
#: many images, and so many places in it are fitted.
_AGREE, _SOME, _PLACES = 0.5, 6, 4
#: Phase shifts that are tried there [deg].
_PHASES = np.arange(0.0, 180.0, 45.0)
#: Images that are so many standard deviations from what the others predict do not follow them.
_FAR = 5.0
#: Where tiles are expected may be so far from their defocus, before the first fit and after it [Å].
_AT_FIRST, _AT_LAST = 4000.0, 1200.0


@dataclass(frozen=True)
class Start:
    """Where rings are looked for.

    Parameters
    ----------
    defocus : float
        [Å].
    phase_shift : float
        [deg].
    """

    defocus: float
    phase_shift: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """What images say about one start.

    Parameters
    ----------
    near : Near
        Each by itself.
    fit : Fit
        All at once.
    course : Course
        Of defocus.
    """

    near: Near
    fit: Fit
    course: Course


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """Looks at a series about some starts.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    images : CroppedImages
        Its images, for rings of up to `FINEST`.
    options : CtfOptions
        What is searched.
    axis_error : float
        How well the direction of the tilt axis is known [deg].
    absorbed : Absorbed or None
        What the levels of images say of the thickness.
    threads : int
        That are used.
    """

    tomogram: Tomogram
    images: CroppedImages
    options: CtfOptions
    axis_error: float
    absorbed: Absorbed | None
    threads: int

    def best(self, common: Common) -> Solved:
        """The likeliest fit of all."""
        starts = [common.best, *common.others(0.8 * REACH, _WITHIN)]
        found = [self._solved(Start(start, common.phase_shift)) for start in starts]
        agreed = max(one.fit.value for one in found) > _AGREE * common.odds
        if self.options.phase_plate or not agreed:
            found.append(self._solved(self._few().scanned()))
        return max(found, key=lambda one: one.fit.value)

    def _few(self) -> Search:
        """The same of some of the images."""
        rows = np.unique(np.linspace(0, len(self.images) - 1, _SOME).round().astype(int))
        return replace(self, tomogram=self.tomogram.select(rows), images=self.images.some(rows))

    def scanned(self) -> Start:
        """The likeliest start in the whole range.

        Large tiles need waves to lie near each other, which those of a small field do not, and
        their background may look like rings of a small defocus; tiles that are focused back have
        neither fault.
        """
        low, high = self.options.low, self.options.high
        n = max(1, math.ceil((high - low) / (1.6 * REACH)))
        middles = low + (np.arange(n) + 0.5) * (high - low) / n
        shifts = _PHASES if self.options.phase_plate else np.zeros(1)
        starts = [Start(*one) for one in itertools.product(middles.tolist(), shifts.tolist())]
        places = _apart((self._near(start), start) for start in starts)
        found = [(self._fitted(near, start), start) for near, start in places]
        best, start = max(found, key=lambda one: one[0].fit.value)
        return replace(start, defocus=float(np.median(best.fit.parameters.own[:, 0])))

    def _near(self, start: Start) -> Near:
        ctf = replace(
            microscope(self.tomogram),
            defocus_u=start.defocus,
            defocus_v=start.defocus,
            phase_shift=start.phase_shift,
        )
        return NearSearch(self.tomogram, self.images, ctf, self.options.low, self.axis_error).look()

    def _solved(self, start: Start) -> Solved:
        return self._fitted(self._near(start), start)

    def _fitted(self, near: Near, start: Start) -> Solved:
        """All parameters, from those that each image has by itself."""
        known = Known(
            angles=self.tomogram.tilt_angles,
            course=near.defoci.course,
            alone=near.defoci.alone,
            astigmatism=self.options.astigmatism,
            phase_plate=self.options.phase_plate,
            axis_error=self.axis_error,
            absorbed=self.absorbed,
        )
        own = np.zeros((len(near.defoci.defocus), OWN))
        own[:, 0], own[:, 3] = near.defoci.defocus, math.radians(start.phase_shift)
        begin = Parameters(own=own, pose=np.array([near.inclined, 0.0, 0.0]))
        sectors = _merged(near, begin, _AT_FIRST)
        begun = SeriesFit(sectors, near.geometry, known, self.threads)
        first = begun.fit(begun.with_astigmatism(begin), 2)
        known = _known_better(known, first)
        sectors = _merged(near, first.parameters, _AT_LAST)
        ended = SeriesFit(sectors, near.geometry, known, self.threads)
        return Solved(near=near, fit=ended.fit(first.parameters, 2), course=known.course)


def _apart(found: Iterable[tuple[Near, Start]]) -> list[tuple[Near, Start]]:
    """The likeliest that do not lie on each other."""
    kept: list[tuple[Near, Start]] = []
    for near, start in sorted(found, key=lambda one: -one[0].defoci.evidence):
        middle = float(np.median(near.defoci.defocus))
        others = [float(np.median(other.defoci.defocus)) for other, _ in kept]
        if len(kept) < _PLACES and all(abs(middle - other) > REACH / 4 for other in others):
            kept.append((near, start))
    return kept


def _known_better(known: Known, fit: Fit) -> Known:
    """With the course that defoci take as they were fitted."""
    told = (fit.rings > SAYS) & np.isfinite(fit.deviation)
    deviation = np.where(told, fit.deviation, np.inf)
    course = course_of(known.angles, fit.single, deviation)
    mean, error = course.predicted(known.angles, fit.single, deviation)
    away = np.abs(fit.single - mean) > _FAR * np.hypot(error, fit.deviation)
    return replace(known, course=course, alone=told & away)


def _merged(near: Near, at: Parameters, off: float) -> tuple[Sectors, ...]:
    """Fewer bands, about these parameters, which may be off by so much defocus [Å]."""
    heights = near.geometry.heights(at.pose)
    return tuple(
        one.merged(expected(own, height), own[3], off)
        for one, own, height in zip(near.sectors, at.own, heights, strict=True)
    )

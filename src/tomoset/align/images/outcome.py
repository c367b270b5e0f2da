"""What is said of an alignment by images: in the tomogram's own frame and pixels, with doubts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.fit import AlignmentError
from tomoset.align.gauge import find, find_shift
from tomoset.align.images.cameras import FREE
from tomoset.align.images.certainty import Certainty
from tomoset.align.images.fit import Bettered
from tomoset.align.images.prepare import Prepared
from tomoset.align.images.result import ImageFit
from tomoset.align.images.thickness import Thickness
from tomoset.align.images.verdict import CONFIRMED, Prediction
from tomoset.align.parameters import COLUMNS, ROTATION, compose, decompose, rotated_by
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A place is confirmed if no other has this part of its correlation with the prediction (what is
#: seen edge-on agrees all along its edge), and its shift is known so well [working px].
_RIVAL, _KNOWN = 0.85, 2.0
#: So many images in doubt, one after the other in tilt, tie nothing beyond them to the others.
_CUT = 3
#: An alignment needs this share of confirmed images.
_NEEDED = 0.6
#: An axis that was farther off did not say how the tomogram lay [deg].
_TURNED = 3.0
#: A thickness is not known better than this: surfaces are not flat [fraction].
_FLAT = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Images, and what the others say of their places.

    Parameters
    ----------
    used : (n,) int array
        From 0.
    support, rival : (n,) arrays
        How many standard deviations of chance each agrees with the others, and at the best other
        place.
    deviation : (n,) array
        Standard deviation of its shift [working px].
    most : float
        The part of its support that a confirmed image has elsewhere, at most.
    """

    used: Ints
    support: Array
    rival: Array
    deviation: Array
    most: float = _RIVAL

    def doubts(self, name: str) -> dict[int, str]:
        """Images whose place is not confirmed, and why.

        Raises
        ------
        AlignmentError
            If they are too many, with the tomogram's name.
        """
        doubtful = dict(self._each())
        doubtful |= dict(self._cut_off(np.isin(self.used, list(doubtful))))
        if len(doubtful) > (1 - _NEEDED) * len(self.used):
            raise AlignmentError(
                f"tomogram {name!r}: these images do not support an alignment: "
                f"{len(doubtful)} of {len(self.used)} are not confirmed by the others"
            )
        return doubtful

    def _each(self) -> Iterator[tuple[int, str]]:
        each = zip(self.used, self.support, self.rival, self.deviation, strict=True)
        for image, support, rival, deviation in each:
            if support < CONFIRMED:
                yield int(image), f"shows nothing of what the others do ({support:.1f} sd)"
            elif rival > self.most * support:
                yield int(image), f"agrees as well elsewhere ({rival:.1f} against {support:.1f} sd)"
            elif deviation > _KNOWN:
                yield int(image), "its shift is not known"

    def _cut_off(self, doubtful: npt.NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
        """Images at an end that agree with each other, but that nothing ties to most images."""
        runs = np.convolve(doubtful, np.ones(_CUT), "valid") >= _CUT
        half = len(doubtful) / 2
        first = max((i for i in np.flatnonzero(runs) if i + _CUT <= half), default=0)
        last = min((i + _CUT for i in np.flatnonzero(runs) if i >= half), default=len(doubtful))
        for i in (*range(first), *range(last, len(doubtful))):
            if not doubtful[i]:
                yield int(self.used[i]), "is tied to the others by images in doubt alone"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """An alignment in working pixels, and what is known of it.

    Parameters
    ----------
    tomogram : Tomogram
    before : (n, 4, 4) array
        Projections that were given.
    prepared : Prepared
    bettered : Bettered
        The last round.
    slab : Thickness
    sure : Certainty
    seen : Prediction
    """

    tomogram: Tomogram
    before: Array
    prepared: Prepared
    bettered: Bettered
    slab: Thickness
    sure: Certainty
    seen: Prediction

    def fit(self) -> ImageFit:
        """All of it in the tomogram's own frame and pixels.

        Raises
        ------
        AlignmentError
            If too many images are not confirmed.
        """
        used, binning = self.prepared.used, self.prepared.binning
        known = self.sure.columns[:, :2].max(axis=1)
        judged = Judged(
            used=used, support=self.seen.support, rival=self.seen.rival, deviation=known
        )
        doubtful = judged.doubts(self.tomogram.name)
        found, windows = self._placed(np.array([i not in doubtful for i in used]))
        was = self.before[used]
        moved = np.linalg.norm(_images(found, windows) - _images(was, windows), axis=2)
        plane = _plane_through(windows)
        pixel, sure = self.tomogram.need_pixel_size() * binning, self.sure
        thickness = self.slab.slab.thickness * pixel
        return ImageFit(
            projections=with_unused(self.before, found, used, self._middle),
            deviations=self._deviations(),
            unused=self.prepared.unused,
            doubtful=doubtful,
            support=self._by_image(self.seen.support),
            rival=self._by_image(self.seen.rival),
            predicted=self._by_image(self.seen.coefficient),
            residuals=_residuals(self.bettered, len(self.before), used) * binning,
            windows=windows,
            expected=sure.expected * binning,
            thickness=thickness,
            thickness_error=thickness * max(self.slab.error * sure.inflation, _FLAT),
            inclination=(_degrees(-plane[1]), _degrees(plane[2])),
            inclination_error=(_degrees(sure.slope[0]), _degrees(sure.slope[1])),
            plane=plane,
            # In a frame that a motion has turned about z, y is no longer along the axis.
            axis=mean_direction(self._rotation(self._full)),
            axis_error=float(np.rad2deg(sure.axis)),
            axis_before=mean_direction(self._rotation(self.before)),
            working_pixel=pixel,
            signal=_signal(self.bettered),
            moved=float(np.median(moved)),
        )

    @property
    def _middle(self) -> Array:
        return (np.array(self.tomogram.need_size(), np.float64) - 1) / 2

    @property
    def _full(self) -> Array:
        """Projections between the tomogram's voxels and the images' pixels."""
        scale = np.diag([self.prepared.binning] * 3 + [1.0])
        return np.asarray(scale @ self.bettered.state.projections @ np.linalg.inv(scale))

    def _rotation(self, projections: Array) -> Array:
        return np.asarray(np.rad2deg(decompose(projections, self._middle)[:, ROTATION]))

    def _placed(self, good: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Projections of the used images and the windows' middles, where the tomogram was.

        Of all rigid motions, the one that moves what the good images show least; of all shifts,
        where the axis was so far off that nothing can have been found in the tomogram.
        """
        used = self.prepared.used
        was, found = self.before[used], self._full
        middles = self.bettered.looked.seen.windows.middles
        windows = self.bettered.state.plane.points(middles) * self.prepared.binning
        turned = np.median(self._rotation(self._full) - self._rotation(self.before)[used])
        if abs((turned + 90) % 180 - 90) > _TURNED:
            gauge = find_shift(was[good], found[good], windows)
        else:
            gauge = find(was[good], found[good], windows, scaled=False)
        new = rotated_by(gauge.transformed(found), was, self._middle)
        return new, geometry.apply(gauge.motion, windows)

    def _deviations(self) -> dict[str, Array]:
        deviations = {}
        for place, column in enumerate(FREE):
            name = COLUMNS[column]
            values = self._by_image(self.sure.columns[:, place])
            if name in ("rotation", "tilt"):
                values = np.rad2deg(values)
            elif name != "magnification":
                values = values * self.prepared.binning
            deviations[name] = values
        return deviations

    def _by_image(self, values: Array) -> Array:
        """Values of the used images: NaN for the others."""
        every = np.full(len(self.before), np.nan)
        every[self.prepared.used] = values
        return every


def _degrees(slope: float) -> float:
    return float(np.rad2deg(np.arctan(slope)))


def _plane_through(points: Array) -> Array:
    """z = plane[0] + plane[1] x + plane[2] y of points that lie in one: (3,)."""
    rows = np.column_stack([np.ones(len(points)), points[:, :2]])
    return np.asarray(np.linalg.lstsq(rows, points[:, 2], rcond=None)[0])


def _images(projections: Array, points: Array) -> Array:
    seen = points @ projections[:, :2, :3].transpose(0, 2, 1) + projections[:, None, :2, 3]
    return np.asarray(seen)


def with_unused(before: Array, found: Array, used: Ints, middle: Array) -> Array:
    """Projections of all images: those not used keep their angles, and shift as neighbours do."""
    projections = before.copy()
    projections[used] = found
    others = np.setdiff1d(np.arange(len(before)), used)
    if len(others):
        turned_by = np.median(
            decompose(found, middle)[:, ROTATION] - decompose(before[used], middle)[:, ROTATION]
        )
        cameras = decompose(before[others], middle)
        cameras[:, ROTATION] += turned_by
        shifts = decompose(found, middle)[:, :2]
        for axis in (0, 1):
            cameras[:, axis] = np.interp(others, used, shifts[:, axis])
        projections[others] = compose(cameras, middle, before[others])
    return projections


def _residuals(bettered: Bettered, n: int, used: Ints) -> Array:
    """How far content of windows lies from where it should: one step of each alone, (n, W, 2)."""
    gradient, information = bettered.terms.gradient, bettered.terms.information
    number, images = gradient.shape[:2]
    found = np.full((n, number, 2), np.nan)
    for w in range(number):
        for i in range(images):
            block = information[w, i, :, i]
            if np.linalg.det(block) > 1e-6 and bettered.looked.seen.used[w, i]:
                found[used[i], w] = np.linalg.solve(block, gradient[w, i])
    return found


def mean_direction(degrees: Array) -> float:
    away = (degrees - degrees[0] + 180) % 360 - 180
    return float((degrees[0] + np.mean(away) + 180) % 360 - 180)


def _signal(bettered: Bettered) -> float:
    """Ratio of signal to noise, of all of the band."""
    white, coherent = bettered.looked.whitened, bettered.looked.model.coherent
    share = (coherent**2 * white.power * white.band).sum(axis=1)
    noise = ((1 - coherent**2) * white.power * white.band).sum(axis=1)
    return float(np.median(share / np.maximum(noise, 1e-30)))

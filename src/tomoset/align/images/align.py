"""A tilt series aligned by its images alone: from files to projections, and a verdict."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.fit import AlignmentError
from tomoset.align.gauge import find
from tomoset.align.images.cameras import FREE, SCATTER
from tomoset.align.images.certainty import Certainty, certainty
from tomoset.align.images.fit import Aligning, Bettered, State, better
from tomoset.align.images.plane import Plane
from tomoset.align.images.prepare import Images, Prepared, prepare, without_fixed
from tomoset.align.images.result import UNKNOWN, ImageFit, ImageOptions
from tomoset.align.images.slab import Slab
from tomoset.align.images.start import (
    LARGE,
    SMALL,
    USUAL,
    Coarse,
    direction,
    inclined,
    placed,
    turned,
)
from tomoset.align.images.thickness import Search, Thickness, thickness
from tomoset.align.images.verdict import Prediction, predict
from tomoset.align.images.windows import Windows
from tomoset.align.parameters import COLUMNS, ROTATION, compose, decompose, rotated_by
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Tomogram
from tomoset.run import doing, one_thread

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Bands, one after the other: highest frequencies in the images [cycles per working px], each for
#: so many rounds at most, or until windows move by less than a part of the shortest wave.
BANDS = ((0.06, 3), (0.1, 3), (0.15, 3), (0.25, 2), (0.25, 2))
_SETTLED = 0.02
#: Waves of a window, at least; bands that hold fewer than twice as many are left out.
_LOWEST = 2.5
#: Images are looked for elsewhere up to this band, if the best other place is so much better. From
#: this band on the thickness is found.
_RELOCATING, _RELOCATE, _SETTLING = 0.15, 1.1, 0.1
#: A place is confirmed if the correlation with the prediction is so far above chance, and above
#: that of any other place by this factor; and if its shift is known so well [working px].
_CONFIRMED, _RIVAL, _KNOWN = 6.0, 1.0, 2.0
#: An alignment needs this share of confirmed images.
_NEEDED = 0.6
_FEWEST = 5


def align(
    tomogram: Tomogram, images: Images, options: ImageOptions | None = None, threads: int = 1
) -> ImageFit:
    """Align a tilt series by its images.

    Parameters
    ----------
    tomogram : Tomogram
        With projections that are roughly right, as by nominal tilts.
    images : Images
        Its tilt images.
    options : ImageOptions, optional
        What is known.
    threads : int
        Of the computation.

    Returns
    -------
    ImageFit

    Raises
    ------
    AlignmentError
        If the images do not support an alignment.
    ModelError
        If there are too few images or tilts, or the images show nothing.
    """
    options = options or ImageOptions()
    _refuse(tomogram)
    with one_thread():
        return _Series.of(tomogram, images, options, threads).aligned()


def _refuse(tomogram: Tomogram) -> None:
    name = tomogram.name
    if tomogram.n_tilts < _FEWEST:
        raise ModelError(
            f"tomogram {name!r} has {tomogram.n_tilts} tilt image"
            f"{'s' * (tomogram.n_tilts != 1)}; an alignment by images needs {_FEWEST} or more"
        )
    if np.ptp(tomogram.tilt_angles) < 5.0:
        raise ModelError(
            f"tomogram {name!r}: all tilt angles are within {np.ptp(tomogram.tilt_angles):.3g}°: "
            "nothing tells depth, or the angles are wrong"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """A series on the way: working images, and how its pixels compare with theirs."""

    tomogram: Tomogram
    projections: Array
    prepared: Prepared
    options: ImageOptions
    threads: int

    @classmethod
    def of(cls, tomogram: Tomogram, images: Images, options: ImageOptions, threads: int) -> _Series:
        doing("reading images")
        prepared = prepare(images, tomogram.need_pixel_size(), threads)
        if len(prepared.used) < _FEWEST:
            raise ModelError(
                f"tomogram {tomogram.name!r}: {len(prepared.used)} of {len(images)} tilt images "
                "show anything; the others are dark, blank or blocked"
            )
        prepared = without_fixed(prepared, tomogram.tilt_angles)
        return cls(
            tomogram=tomogram,
            projections=tomogram.need_projections(),
            prepared=prepared,
            options=options,
            threads=threads,
        )

    @property
    def pixel(self) -> float:
        """Of the working images [Å]."""
        return self.tomogram.need_pixel_size() * self.prepared.binning

    @property
    def used(self) -> Ints:
        """Images that are aligned."""
        return self.prepared.used

    @property
    def _scale(self) -> Array:
        return np.diag([1 / self.prepared.binning] * 3 + [1.0])

    def small(self, projections: Array) -> Array:
        """Projections between working voxels and pixels."""
        return np.asarray(self._scale @ projections @ np.linalg.inv(self._scale))

    def full(self, projections: Array) -> Array:
        """Projections between the tomogram's voxels and the images' pixels."""
        return np.asarray(np.linalg.inv(self._scale) @ projections @ self._scale)

    def aligned(self) -> ImageFit:
        """Align it."""
        state = self._start()
        aligning = self._aligning()
        bettered, slab = self._fit(aligning, state)
        sure, seen = certainty(bettered, self.threads), predict(bettered)
        return self._result(bettered, slab, sure, seen)

    def _start(self) -> State:
        """The axis, the pre-tilt, and a place for every image."""
        doing("comparing images that are near in tilt")
        used, size = self.used, self.tomogram.need_size()
        centre = (np.array(size, np.float64) - 1) / 2 / self.prepared.binning
        shape = self._shape
        tilts = self.tomogram.tilt_angles[used]
        thick = (self.options.thickness or USUAL) / self.pixel
        given = (self.prepared.images[used], self.prepared.valid[used], tilts, shape, thick)
        small = Coarse.of(*given, SMALL, self.threads)
        large = Coarse.of(*given, LARGE, self.threads)
        projections, plane = self.small(self.projections)[used], Plane(centre=centre)
        found = direction(small, projections, plane, known=self.options.axis != UNKNOWN)
        self._say_axis(found.by)
        width, height = self.prepared.images.shape[2], self.prepared.images.shape[1]
        projections = turned(projections, found.by, (width, height))
        plane = inclined(small, projections, plane)
        projections, _ = placed(large, projections, plane)
        return State(
            projections=projections,
            expected=decompose(projections, centre),
            scatter=SCATTER,
            plane=plane,
            slab=Slab(thickness=thick),
        )

    def _say_axis(self, by: float) -> None:
        if self.options.axis != UNKNOWN and abs(by) > 10:
            warnings.warn(
                f"tomogram {self.tomogram.name!r}: images agree far better if the tilt axis is "
                f"turned by {by:.0f}°; it was",
                AssumptionWarning,
                stacklevel=5,
            )

    @property
    def _shape(self) -> tuple[int, int]:
        """Height and width of the plane [working px]."""
        width, height, _ = self.tomogram.need_size()
        binning = self.prepared.binning
        return round(height / binning), round(width / binning)

    def _aligning(self) -> Aligning:
        import scipy.ndimage

        shape = self._shape
        windows = Windows.over(shape, min(shape) // 2)
        images = [
            scipy.ndimage.spline_filter(self.prepared.images[i], 3, output=np.float32)
            for i in self.used
        ]
        return Aligning(
            images=np.stack(images),
            valid=self.prepared.valid[self.used],
            windows=windows,
            lowest=_LOWEST / windows.size,
            threads=self.threads,
        )

    def _fit(self, aligning: Aligning, state: State) -> tuple[Bettered, Thickness]:
        known = self.options.thickness is not None
        search = Search.KNOWN if known else Search.FAR
        slab = Thickness(slab=state.slab, error=0.0)
        for band, rounds in BANDS:
            if band < 2 * aligning.lowest:
                continue
            doing(f"aligning to {self.pixel / band:.0f} Å")
            for number in range(rounds):
                bettered = better(aligning, state, band)
                if band <= _RELOCATING and number == 0:
                    state = _relocated(bettered)
                else:
                    state = bettered.state
                if bettered.moved < _SETTLED / band:
                    break
            if band >= _SETTLING:
                slab = thickness(bettered, band, self.threads, search)
                state = replace(state, slab=slab.slab)
                search = Search.KNOWN if known else Search.NEAR
        return bettered, slab

    def _result(
        self, bettered: Bettered, slab: Thickness, sure: Certainty, seen: Prediction
    ) -> ImageFit:
        return _result(self, bettered, slab, sure, seen)


def _relocated(bettered: Bettered) -> State:
    """The state with images moved to where they agree much better."""
    seen = predict(bettered)
    moved = (seen.rival > _RELOCATE * seen.support) & (seen.rival > _CONFIRMED)
    state = bettered.state
    linear, _ = state.plane.maps(state.projections)
    projections = state.projections.copy()
    projections[moved, :2, 3] += np.einsum("nij,nj->ni", linear, seen.elsewhere)[moved]
    return replace(state, projections=projections)


def _doubts(sure: Certainty, seen: Prediction, images: Ints) -> Iterator[tuple[int, str]]:
    """Images whose place is not confirmed, and why."""
    for number, image in enumerate(images):
        support, rival = seen.support[number], seen.rival[number]
        if support < _CONFIRMED:
            yield int(image), f"shows nothing of what the others do ({support:.1f} sd)"
        elif rival > _RIVAL * support:
            yield int(image), f"agrees better elsewhere ({rival:.1f} against {support:.1f} sd)"
        elif sure.columns[number, :2].max() > _KNOWN:
            yield int(image), "its shift is not known"


def _result(
    series: _Series, bettered: Bettered, slab: Thickness, sure: Certainty, seen: Prediction
) -> ImageFit:
    """All of it in the tomogram's own pixels."""
    used, binning, n = series.used, series.prepared.binning, series.tomogram.n_tilts
    doubtful = dict(_doubts(sure, seen, used))
    if len(doubtful) > (1 - _NEEDED) * len(used):
        raise AlignmentError(
            f"tomogram {series.tomogram.name!r}: these images do not support an alignment: "
            f"{len(doubtful)} of {len(used)} are not confirmed by the others"
        )
    state = bettered.state
    before = series.projections
    found = series.full(state.projections)
    middle = (np.array(series.tomogram.need_size(), np.float64) - 1) / 2
    # In a frame that a motion has turned about z, y is no longer along the axis.
    rotation = np.rad2deg(decompose(found, middle)[:, ROTATION])
    windows = state.plane.points(bettered.looked.seen.windows.middles) * binning
    good = np.array([i not in doubtful for i in used])
    # The tomogram stays where it was: of all rigid motions, the one that moves images least.
    gauge = find(before[used][good], found[good], windows, scaled=False)
    found = rotated_by(gauge.transformed(found), before[used], middle)
    windows = geometry.apply(gauge.motion, windows)
    projections = _with_unused(before, found, used, middle)
    moved = np.linalg.norm(_images(found, windows) - _images(before[used], windows), axis=2)
    plane = _plane_through(windows)
    columns = np.full((n, len(COLUMNS)), np.nan)
    columns[np.ix_(used, np.array(FREE))] = sure.columns
    columns[:, :2] *= binning
    whole = np.full((3, n), np.nan)
    whole[:, used] = seen.support, seen.rival, seen.coefficient
    was = np.rad2deg(decompose(before, middle)[:, ROTATION])
    return ImageFit(
        projections=projections,
        deviations={
            name: np.rad2deg(columns[:, i]) if name in ("rotation", "tilt") else columns[:, i]
            for i, name in ((i, COLUMNS[i]) for i in FREE)
        },
        unused=series.prepared.unused,
        doubtful=doubtful,
        support=whole[0],
        rival=whole[1],
        predicted=whole[2],
        residuals=_residuals(bettered, n, used) * binning,
        windows=windows,
        expected=sure.expected * binning,
        thickness=slab.slab.thickness * series.pixel,
        thickness_error=slab.slab.thickness * series.pixel * max(slab.error * sure.inflation, 0.02),
        inclination=(
            float(np.rad2deg(np.arctan(-plane[1]))),
            float(np.rad2deg(np.arctan(plane[2]))),
        ),
        inclination_error=(float(np.rad2deg(sure.slope[0])), float(np.rad2deg(sure.slope[1]))),
        plane=plane,
        axis=_mean_direction(rotation),
        axis_error=float(np.rad2deg(sure.axis)),
        axis_before=_mean_direction(was),
        working_pixel=series.pixel,
        signal=_signal(bettered),
        moved=float(np.median(moved)),
    )


def _plane_through(points: Array) -> Array:
    """z = plane[0] + plane[1] x + plane[2] y of points that lie in one: (3,)."""
    rows = np.column_stack([np.ones(len(points)), points[:, :2]])
    return np.asarray(np.linalg.lstsq(rows, points[:, 2], rcond=None)[0])


def _images(projections: Array, points: Array) -> Array:
    seen = points @ projections[:, :2, :3].transpose(0, 2, 1) + projections[:, None, :2, 3]
    return np.asarray(seen)


def _with_unused(before: Array, found: Array, used: Ints, middle: Array) -> Array:
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


def _mean_direction(degrees: Array) -> float:
    away = (degrees - degrees[0] + 180) % 360 - 180
    return float((degrees[0] + np.mean(away) + 180) % 360 - 180)


def _signal(bettered: Bettered) -> float:
    """Ratio of signal to noise, of all of the band."""
    white = bettered.looked.whitened
    share = (white.coherent**2 * white.power * white.band).sum(axis=1)
    noise = ((1 - white.coherent**2) * white.power * white.band).sum(axis=1)
    return float(np.median(share / np.maximum(noise, 1e-30)))

"""A tilt series aligned by its images alone: from files to projections, and a verdict."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.fit import AlignmentError
from tomoset.align.images.body_fit import fitted
from tomoset.align.images.body_outcome import BodyOutcome
from tomoset.align.images.body_views import Working, emptiness
from tomoset.align.images.cameras import SCATTER
from tomoset.align.images.certainty import certainty
from tomoset.align.images.dense import without_dense
from tomoset.align.images.fit import Aligning, Bettered, State, better
from tomoset.align.images.outcome import Outcome
from tomoset.align.images.plane import Plane
from tomoset.align.images.prepare import Images, Prepared, prepare, undeformed, without_fixed
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
from tomoset.align.images.verdict import CONFIRMED, predict
from tomoset.align.images.windows import Windows
from tomoset.align.parameters import decompose
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Tomogram
from tomoset.run import doing, one_thread

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Bands, one after the other: highest frequencies in the images [cycles per working px], each for
#: so many rounds at most, or until windows move by less than a part of the shortest wave, and the
#: thickness changes by less than that part.
BANDS = ((0.06, 3), (0.1, 3), (0.15, 3), (0.25, 3))
_SETTLED, _ALIKE = 0.02, 0.01
#: Waves of a window, at least; bands that hold fewer than twice as many are left out.
_LOWEST = 2.5
#: The smallest windows that the last band fits in [working px].
_SMALLEST = 20
#: Images are looked for elsewhere up to this band, if the best other place is so much better.
_RELOCATING, _RELOCATE = 0.15, 1.1
#: A specimen is not taken to be thicker, at first, than this part of the field.
_THICKEST = 0.4
#: A body leaves its background free at both sides: less is to be seen there than this part of
#: what is seen in all, of so many images.
_EMPTY, _SOME = 0.2, 9
#: If more of the images are in doubt, what stands out of them counts too, if that is better.
_DOUBTFUL = 0.1
#: Images that an alignment needs.
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
    # Neighbours in tilt are neighbours in the arrays, however the table has them.
    order = np.argsort(tomogram.tilt_angles, kind="stable")
    with one_thread():
        by_tilt = _Ordered(images, order)
        fit = _Series.of(tomogram.select(order), by_tilt, options, threads).aligned()
    return fit.reordered(order)


class _Ordered:
    """Images in another order."""

    def __init__(self, images: Images, order: Ints) -> None:
        self.size = images.size
        self._images, self._order = images, order

    def __len__(self) -> int:
        return len(self._order)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        return self._images.read(int(self._order[i]))


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

    def aligned(self) -> ImageFit:
        """Align it, as a body that is seen whole across the axis, or else as a slab."""
        some = self.used[:: max(1, len(self.used) // _SOME)]
        working, projections = self._working(some)
        # Nobody sees from a round body where its axis is.
        unknown = self.options.axis == UNKNOWN
        if unknown or emptiness(*working.seen(projections)) > _EMPTY:
            return self._as_slab()
        if self.options.thickness is not None:
            warnings.warn(
                f"tomogram {self.tomogram.name!r}: images show a body whole across the tilt axis, "
                "as a needle, and no slab: its diameter is found, and the thickness that was given "
                "(`thickness`) does not count",
                AssumptionWarning,
                stacklevel=4,
            )
        series = replace(self, prepared=self._undeformed(self.prepared))
        found = fitted(*series._working(self.used))
        return BodyOutcome(tomogram=self.tomogram, prepared=series.prepared, fitted=found).fit()

    def _undeformed(self, prepared: Prepared) -> Prepared:
        deformation = self.tomogram.deformation
        if deformation is None:
            return prepared
        return undeformed(prepared, deformation, self.tomogram.need_image_size())

    def _working(self, which: Ints) -> tuple[Working, Array]:
        """Some of the images, as of a body, and their projections."""
        projections = self.small(self.projections)[which]
        working = Working.of(
            plain=self.prepared.plain[which],
            valid=self.prepared.valid[which],
            shape=self._shape,
            centre=self._centre,
            threads=self.threads,
        )
        return working.levelled(projections), projections

    @property
    def _centre(self) -> Array:
        """Of the tomogram [working voxels]."""
        return (np.array(self.tomogram.need_size(), np.float64) - 1) / 2 / self.prepared.binning

    def _as_slab(self) -> ImageFit:
        even = without_dense(self.prepared, self.threads)
        if even is self.prepared:
            return self._seen(even)._slab_fit()
        found = None
        with suppress(AlignmentError):
            found = self._seen(even)._slab_fit()
            if len(found.doubtful) <= _DOUBTFUL * len(self.used):
                return found
        # What stands out may be all that there is, as few particles in thin ice.
        try:
            other = self._seen(self.prepared)._slab_fit()
        except AlignmentError:
            if found is None:
                raise
            return found
        return other if found is None or len(other.doubtful) < len(found.doubtful) else found

    def _seen(self, prepared: Prepared) -> _Series:
        """With such images, which show neither the camera nor a deformation that is known."""
        # A body would look like what is fixed in the camera.
        prepared = without_fixed(prepared, self.tomogram.tilt_angles)
        return replace(self, prepared=self._undeformed(prepared))

    def _slab_fit(self) -> ImageFit:
        aligning = self._aligning()
        state = self._start(len(aligning.windows.first))
        bettered, slab = self._fit(aligning, state)
        sure, seen = certainty(bettered, self.threads), predict(bettered)
        outcome = Outcome(
            tomogram=self.tomogram,
            before=self.projections,
            prepared=self.prepared,
            bettered=bettered,
            slab=slab,
            sure=sure,
            seen=seen,
        )
        return outcome.fit()

    def _start(self, windows: int) -> State:
        """The axis, the pre-tilt, and a place for every image."""
        doing("comparing images that are near in tilt")
        used, centre = self.used, self._centre
        shape = self._shape
        tilts = self.tomogram.tilt_angles[used]
        usual = min(USUAL / self.pixel, _THICKEST * min(shape))
        known = self.options.thickness
        thick = usual if known is None else known / self.pixel
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
            thicker=np.ones(windows),
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
        if windows.size <= _SMALLEST:
            raise ModelError(
                f"tomogram {self.tomogram.name!r}: at {self.pixel:.3g} Å a pixel it has "
                f"{2 * _SMALLEST} pixels or fewer along an edge, too few to align by"
            )
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
        slab = Thickness(slab=state.slab, thicker=state.thicker, error=0.0)
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
                slab = thickness(bettered, band, self.threads, search)
                changed = abs(np.log(slab.slab.thickness / state.slab.thickness))
                state = replace(state, slab=slab.slab, thicker=slab.thicker)
                search = Search.KNOWN if known else Search.NEAR
                if bettered.moved < _SETTLED / band and changed < _ALIKE:
                    break
        return bettered, slab


def _relocated(bettered: Bettered) -> State:
    """The state with images moved to where they agree much better."""
    seen = predict(bettered)
    moved = (seen.rival > _RELOCATE * seen.support) & (seen.rival > CONFIRMED)
    state = bettered.state
    linear, _ = state.plane.maps(state.projections)
    projections = state.projections.copy()
    projections[moved, :2, 3] += np.einsum("nij,nj->ni", linear, seen.elsewhere)[moved]
    return replace(state, projections=projections)

"""The gold beads of a tilt series: where they are in space, and in each image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.fiducials.finder.centre import first_profile
from tomoset.fiducials.finder.detect import Peaks
from tomoset.fiducials.finder.measure import BeadObservations, Expected, measure, patch_half
from tomoset.fiducials.finder.radius import BeadKind, bead_kind
from tomoset.fiducials.finder.search import Agreement, agree
from tomoset.fiducials.finder.vote import Space, references
from tomoset.fiducials.finder.whiten import Whitening
from tomoset.fiducials.options import FindOptions
from tomoset.images.device import Cpu
from tomoset.model import Fiducials, Observations, Tomogram
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Tilt images without which no position in space is known, and how much their angles differ [deg].
_FEWEST_TILTS, _NARROWEST = 3, 10.0
#: Images that are read first, for the kind of bead and the spectrum of the background.
_SAMPLE = 3
#: How far above and below the middle beads are searched, in thicknesses of the tomogram.
_DEPTH = 0.75
#: A bead is seen in this part of the images that show its position, and in so many.
_PART, _FEWEST = 0.5, 3


class Images(Protocol):
    """What the finder wants of tilt images; `TiltSeries` is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""
        ...

    def read(self, i: int) -> Image:
        """Image i: (y, x)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The beads of a tilt series.

    Parameters
    ----------
    fiducials : Fiducials
        Where they are, by the alignment as it is, and where they were seen; the clearest first.
        A score is the median signal-to-noise ratio in the images that show its position.
    false_discovery : (n,) array
        Not more than this part of the beads that images agree on as well is there by chance.
    radius : float or None
        Of a bead [Å], as it was given or measured.
    dark : bool
        Whether beads are darker than the ice.
    """

    fiducials: Fiducials
    false_discovery: Array
    radius: float | None
    dark: bool = True


class Finder:
    """Finds the gold beads of one tilt series, by one alignment or by several.

    A matched filter finds what is bead-like in each image; positions that the images agree on are
    beads, though the alignment be off by some per cent of their width; each is then fitted in every
    image by the mean bead.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, however well.
    images : Images
        Its tilt images, in the order of its table.
    options : FindOptions
        What is wanted.
    threads : int
        Images that are worked on at once.

    Raises
    ------
    ModelError
        If the series cannot show where beads are, or the radius is plainly not that of the beads.
    """

    def __init__(
        self, tomogram: Tomogram, images: Images, options: FindOptions, threads: int = 1
    ) -> None:
        self._tomogram, self._images = tomogram.placed(None, images.size), images
        self._options, self._threads = options, threads
        space = _space(self._tomogram)
        self._pixel_size = self._tomogram.need_pixel_size()
        least = references(space.projections)
        sample = [images.read(int(i)) for i in least[:: max(1, len(least) // _SAMPLE)]]
        self._kind = kind = bead_kind(sample, self._pixel_size, options)
        if kind is not None:
            self._radius = kind.radius / self._pixel_size
            self._matched = kind.filter(images.size, self._pixel_size)
            self._white = Whitening(sample, images.size, self._radius)
            with one_thread(), ThreadPoolExecutor(threads) as pool:
                self._peaks = list(pool.map(self._search, range(tomogram.n_tilts)))

    def find(self, projections: Array | None = None) -> Found:
        """The beads.

        Parameters
        ----------
        projections : (n, 4, 4) array, optional
            A better alignment than the tomogram's own.
        """
        tomogram = self._tomogram
        if projections is not None:
            tomogram = replace(tomogram, projections=projections)
        if self._kind is None:
            return _none(self._options.radius)
        with one_thread():
            return self._find(tomogram, self._kind)

    def _find(self, tomogram: Tomogram, kind: BeadKind) -> Found:
        agreement = agree(_space(tomogram), self._peaks, self._radius)
        false = _false_discovery(agreement.tracks.chance)
        sure = false <= self._options.false_discovery
        if not sure.any():
            return _none(kind.radius, dark=kind.sign > 0)
        observed = self._measure(agreement, agreement.tracks.positions[sure], kind)
        return _found(tomogram, kind, observed, false[sure])

    def _search(self, i: int) -> Peaks:
        """Detections in an image, where its projection has them."""
        matched = self._matched
        transform = matched.cropping.transform(self._images.read(i), Cpu())
        found = matched.peaks(matched.response(transform))
        return replace(found, points=_flat(self._tomogram, i, found.points))

    def _measure(self, agreement: Agreement, positions: Array, kind: BeadKind) -> BeadObservations:
        """Observations in each image at these positions."""
        at, inside = agreement.space.project(positions)
        half = patch_half(self._radius, self._white)
        with ThreadPoolExecutor(self._threads) as pool:
            return measure(
                Expected(
                    at=_deformed(self._tomogram, at),
                    inside=inside,
                    radius=self._radius,
                    reach=agreement.reach,
                ),
                self._white,
                lambda i: kind.sign * self._images.read(i),
                first_profile(self._white.bead(kind.radius, self._pixel_size, half)),
                pool.map,
            )


def find(tomogram: Tomogram, images: Images, options: FindOptions, threads: int = 1) -> Found:
    """Find the gold beads of a tilt series, as `Finder` does.

    Returns
    -------
    Found
        There may be none.
    """
    return Finder(tomogram, images, options, threads).find()


def _none(radius: float | None, *, dark: bool = True) -> Found:
    none = Fiducials(points=np.empty((0, 3)))
    return Found(fiducials=none, false_discovery=np.empty(0), radius=radius, dark=dark)


def _found(tomogram: Tomogram, kind: BeadKind, observed: BeadObservations, false: Array) -> Found:
    """The beads that most images of them show, the clearest first."""
    seen, there = np.isfinite(observed.uncertainty), np.isfinite(observed.snr)
    enough = seen.sum(axis=0) >= np.maximum(_PART * there.sum(axis=0), _FEWEST)
    positions = tomogram.triangulate(observed.points)
    enough &= np.isfinite(positions).all(axis=1)
    score = np.zeros(len(enough))
    score[enough] = np.nanmedian(observed.snr[:, enough], axis=0)
    order = np.argsort(-score, kind="stable")
    order = order[enough[order]]
    tilt, bead = np.nonzero(seen[:, order])
    observations = Observations(
        bead=bead,
        tilt=tilt,
        points=observed.points[:, order][tilt, bead],
        uncertainty=observed.uncertainty[:, order][tilt, bead],
    )
    return Found(
        fiducials=Fiducials(
            points=positions[order],
            observations=observations,
            scores=score[order],
            radii=np.full(len(order), kind.radius),
        ),
        false_discovery=false[order],
        radius=kind.radius,
        dark=kind.sign > 0,
    )


def _space(tomogram: Tomogram) -> Space:
    """Where beads may be, if the series can show it at all."""
    projections, angles = tomogram.need_projections(), tomogram.tilt_angles
    if tomogram.n_tilts < _FEWEST_TILTS or np.ptp(angles) < _NARROWEST:
        raise ModelError(
            f"tomogram {tomogram.name!r} has {tomogram.n_tilts} tilt image"
            f"{'s' * (tomogram.n_tilts != 1)} over {np.ptp(angles):.3g} degrees: {_FEWEST_TILTS} "
            f"over {_NARROWEST:g} or more are needed to see where beads are in space"
        )
    volume = np.array(tomogram.need_size(), np.float64)
    return Space(
        projections=projections,
        image_size=tomogram.need_image_size(),
        middle=(volume - 1) / 2,
        half_depth=_DEPTH * volume[2],
    )


def _false_discovery(chance: Array) -> Array:
    """Which part of the positions that are as sure, or surer, is expected to be there by chance.

    Benjamini and Hochberg, J. R. Statist. Soc. B 57, 289 (1995), where `chance` is the number
    expected among all that were tried.
    """
    order = np.argsort(chance, kind="stable")
    part = chance[order] / np.arange(1, len(chance) + 1)
    bound = np.empty(len(chance))
    bound[order] = np.minimum.accumulate(part[::-1])[::-1]
    return np.minimum(bound, 1.0)


def _flat(tomogram: Tomogram, i: int, points: Array) -> Array:
    """Points in image i as its projection has them, without the 2D deformation."""
    if tomogram.deformation is None:
        return points
    deformation = replace(tomogram.deformation, coefficients=tomogram.deformation.coefficients[[i]])
    return np.asarray(deformation.undo(points[None], image_size=tomogram.need_image_size())[0])


def _deformed(tomogram: Tomogram, at: Array) -> Array:
    """The inverse of `_flat`, for all images: (n, m, 2)."""
    if tomogram.deformation is None:
        return at
    displacement = tomogram.deformation.displacement(at, image_size=tomogram.need_image_size())
    return np.asarray(at + displacement)

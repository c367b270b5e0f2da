"""From a rough defocus of all images to one of each, the plane of the specimen, and the hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.ctf.cropped import CroppedImages
from tomoset.ctf.known import Geometry
from tomoset.ctf.prior import Course, course_of, with_strays
from tomoset.ctf.sectors import SECTORS, Sectors, sectors_of
from tomoset.hand.field import Slab
from tomoset.hand.rings import Bands, CorrectedSpectra, Tiles, TileSpectra
from tomoset.hand.tables import AMPLITUDES, Frame, Offsets, Table, noise_near
from tomoset.images.ctf import Ctf
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: How far the defocus of an image may be from the rough one [Å].
REACH = 12000.0
#: For specimens that are more inclined than the tomogram says.
_MORE = 1.35
#: Inclinations about the tilt axis that are tried [deg], and how inclined specimens are.
_INCLINED, _USUAL = np.arange(-20.0, 21.0, 5.0), 8.0
#: Without knowing more, defocus scatters so about the rough one, or about a better one [Å].
_ROUGH, _BETTER = 4000.0, 1500.0
#: Images whose rings are this much likelier than none say something by themselves; so do those
#: whose defocus is known better than this [natural logarithm, Å].
_RINGS, _TOLD = 3.0, 900.0
#: Part of the images whose defocus has nothing to do with the others'.
_STRAY = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Near:
    """What is seen of a series, corrected at one defocus.

    Parameters
    ----------
    sectors : tuple of Sectors
        Of each image.
    geometry : Geometry
        Where tiles lie, with the likelier hand.
    hand_log_odds : float
        Natural logarithm of the odds of a hand of +1 against -1.
    inclined : float
        Likeliest inclination about the tilt axis [deg].
    defoci : Defoci
        Of the images.
    """

    sectors: tuple[Sectors, ...]
    geometry: Geometry
    hand_log_odds: float
    inclined: float
    defoci: Defoci


@dataclass(frozen=True, kw_only=True, eq=False)
class Defoci:
    """Of the images of a series.

    Parameters
    ----------
    evidence : float
        Logarithm of how much likelier rings are than none.
    course : Course
        Of defocus over the tilts.
    defocus : (n_tilts,) array
        The likeliest [Å].
    rings : (n_tilts,) array
        Natural logarithm of how much likelier rings are than none, where the others predict them.
    certain : (n_tilts,) array
        How likely the defocus is that one and no other, such as of another order of rings.
    alone : (n_tilts,) bool array
        Images that do not follow the others.
    """

    evidence: float
    course: Course
    defocus: Array
    rings: Array
    certain: Array
    alone: npt.NDArray[np.bool_]


class NearSearch:
    """Looks at the images of a series, corrected at one defocus.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    images : CroppedImages
        Its images.
    ctf : Ctf
        Of the microscope, with a rough defocus.
    least : float
        Images have no less in common [Å].
    axis_error : float
        How well the direction of the tilt axis is known [deg].
    """

    def __init__(
        self,
        tomogram: Tomogram,
        images: CroppedImages,
        ctf: Ctf,
        least: float,
        axis_error: float,
    ) -> None:
        self._tomogram, self._images, self._ctf = tomogram, images, ctf
        self._axis_error, self._least = axis_error, least - ctf.defocus_u
        tiles = Tiles.of(images.size, images.pixel_size)
        self._middles = images.before(tiles.middles)
        flat = Slab.of(tomogram).depths(tomogram, self._middles, np.zeros((1, 2)))
        scale = tomogram.need_pixel_size() * tomogram.defocus_slope
        margin = _MORE * scale * float(np.abs(flat).max()) + 1000.0
        bands = Bands.of(images.pixel_size, ctf.voltage, REACH + margin)
        self._offsets = Offsets.of(bands, ctf.voltage, REACH, margin)
        self._frame = Frame(bands, self._offsets, ctf.voltage)
        self._spectra = TileSpectra(images.size, images.pixel_size, bands, tiles, SECTORS)

    def look(self) -> Near:
        """At all images."""
        near = noise_near([self._noise()], self._frame)
        mirrored = self._spectra.smeared(self._ctf, 4)
        sectors: list[Sectors] = []
        tables: list[Table | None] = []
        for i in range(len(self._images)):
            image = self._images.read(i)
            sums = self._spectra.sums(image, self._ctf)
            # Rings are so much lower, and their square tells how much a tile says.
            part = self._images.part(i, self._spectra.tiles) ** 2
            one = sectors_of(sums, self._spectra, self._ctf, mirrored)
            sectors.append(replace(one, weight=one.weight * part))
            if sectors[-1].blank:
                tables.append(None)
            else:
                whole = self._spectra.normalized(sums).weighted(part)
                tables.append(Table.of(whole, self._frame, near))
        return self._found(tuple(sectors), tables)

    def _noise(self) -> CorrectedSpectra:
        """Of an image of nothing but white noise."""
        rng = np.random.default_rng(0)
        white = rng.standard_normal(self._images.size[::-1], np.float32)
        return self._spectra.corrected(white, self._ctf)

    def _found(self, sectors: tuple[Sectors, ...], tables: list[Table | None]) -> Near:
        hands = (1.0, -1.0)
        geometries = [
            Geometry(
                tomogram=self._tomogram,
                middles=self._middles,
                hand=hand,
                axis_error=self._axis_error,
            )
            for hand in hands
        ]
        poses = [np.array([angle, 0.0, 0.0]) for angle in _INCLINED]
        heights = np.stack([[g.heights(pose) for pose in poses] for g in geometries])
        heights = np.moveaxis(heights.reshape(-1, *heights.shape[2:]), 0, 1)
        values = self._offsets.values
        rough = _normal(values, 0.0, _ROUGH)
        total = np.tile(-0.5 * (_INCLINED / _USUAL) ** 2, 2)
        for table, height in zip(tables, heights, strict=True):
            if table is not None:
                total += _mean(self._scores(table, height), rough)
        by_hand = np.logaddexp.reduce(total.reshape(2, -1), axis=1)
        best = int(np.argmax(total))
        scores = np.zeros((len(tables), len(values)))
        for own, table, height in zip(scores, tables, heights, strict=True):
            if table is not None:
                own[:] = self._scores(table, height[best : best + 1])[0]
        return Near(
            sectors=sectors,
            geometry=geometries[best // len(poses)],
            hand_log_odds=float(by_hand[0] - by_hand[1]),
            inclined=float(_INCLINED[best % len(poses)]),
            defoci=self._defoci(scores),
        )

    def _scores(self, table: Table, heights: Array) -> Array:
        """Log-likelihood of each offset, against noise: (n_poses, n_offsets)."""
        entries = (heights / self._offsets.step + self._offsets.margin).astype(np.float32)
        sums = table.sums(entries, 2 * self._offsets.reach + 1)
        return np.asarray(np.logaddexp.reduce(sums, axis=1) - math.log(len(AMPLITUDES)))

    def _defoci(self, scores: Array) -> Defoci:
        """The defocus of each image, of how likely each is: (n_tilts, n_offsets)."""
        values, angles = self._offsets.values, self._tomogram.tilt_angles
        # What is common to all, first.
        centres = values[::8][values[::8] >= min(self._least, values[-8])]
        near = [_mean(scores, _normal(values, c, _BETTER)).sum() for c in centres]
        centre = float(centres[np.argmax(near)])
        evidence = float(max(near))
        own = _normal(values, centre, _ROUGH)
        mean, deviation = _moments(scores, values, own)
        told = (_mean(scores, own) > _RINGS) & (deviation < _TOLD)
        deviation = np.where(told, np.maximum(deviation, 20.0), np.inf)
        mean = np.where(told, mean, centre)
        course = course_of(angles, mean, deviation)
        expected, error = course.predicted(angles, mean, deviation)
        n = len(scores)
        best, rings, certain = np.empty(n), np.empty(n), np.empty(n)
        alone = np.zeros(n, np.bool_)
        for i, score in enumerate(scores):
            prior = with_strays(values, expected[i], max(error[i], 40.0), _STRAY)
            likely = score + np.log(prior)
            best[i] = values[np.argmax(likely)]
            rings[i] = np.logaddexp.reduce(likely)
            share = np.exp(likely - rings[i])
            width = max(3 * error[i] if not told[i] else 0.0, 700.0)
            certain[i] = share[np.abs(values - best[i]) <= width].sum()
            alone[i] = told[i] and abs(best[i] - expected[i]) > 5 * error[i] + 300.0
        return Defoci(
            evidence=evidence,
            course=course,
            defocus=self._ctf.defocus_u + best,
            rings=rings,
            certain=certain,
            alone=alone,
        )


def _normal(values: Array, mean: float, deviation: float) -> Array:
    weights = np.exp(-0.5 * ((values - mean) / deviation) ** 2)
    return np.asarray(weights / weights.sum())


def _mean(scores: Array, prior: Array) -> Array:
    """Logarithm of the mean likelihood, along the last axis."""
    top = scores.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(scores - top) @ prior + 1e-300) + top[..., 0])


def _moments(scores: Array, values: Array, prior: Array) -> tuple[Array, Array]:
    """Means and standard deviations of each row."""
    likely = np.exp(scores - scores.max(axis=1, keepdims=True)) * prior
    likely /= likely.sum(axis=1, keepdims=True)
    mean = likely @ values
    return mean, np.sqrt((likely * (values - mean[:, None]) ** 2).sum(axis=1))

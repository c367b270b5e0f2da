"""Shifts of tilt images by all they show at once, however large: for series that are far off.

All particles together are predicted as one image, which is correlated with the tilt image. A
window about each particle would add up to the same, but reach no farther than its range, and leave
out particles that are expected beyond the edge of an image and are inside.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.evidence import (
    EvidenceOptions,
    TiltImages,
    check_images,
    expected_places,
    own_masks,
)
from tomoset.particles.predict import Predictor
from tomoset.particles.reference import Reference
from tomoset.particles.slices import moved
from tomoset.particles.whiten import Whitener

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Particles are in so many groups; each says whether the shift that the others find is better.
_GROUPS = 2
#: By so many standard errors a shift must be better to be believed.
_SURE = 3.0
#: Pixels of boxes that are worked on at once.
_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class ImageShifts:
    """How far tilt images are displaced.

    Parameters
    ----------
    shifts : (n_tilts, 2) array
        x and y [px], to be added to projections; 0 where none is believed.
    gain, error : (n_tilts,) arrays
        How much better images go with particles that had no part in the shift: log-likelihood of
        predictions of amplitude 1, and its standard error. 0 where the shift is 0.
    deviations : (n_tilts, 2) array
        Standard deviations of the shifts for predictions of amplitude 1 [px]; NaN where they are 0.
    """

    shifts: Array
    gain: Array
    error: Array
    deviations: Array

    @property
    def moved(self) -> npt.NDArray[np.bool_]:
        """Which images have a shift."""
        return np.asarray(self.shifts.any(axis=1))

    def applied(self, tomogram: Tomogram) -> Tomogram:
        """The tomogram with these shifts."""
        if not self.moved.any():
            return tomogram
        assert tomogram.projections is not None
        projections = tomogram.projections.copy()
        projections[:, :2, 3] += self.shifts
        return replace(tomogram, projections=projections, alignment=None)


def shifts_by_images(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: EvidenceOptions,
    trajectories: Array | None = None,
) -> ImageShifts:
    """Find by how much whole tilt images are displaced, up to half of their size.

    Parameters
    ----------
    tomogram, images, particles, reference, options, trajectories
        As of `tomoset.particles.correlate`; the range does not matter.

    Raises
    ------
    TomosetError
        As `tomoset.particles.correlate` does.
    """
    check_images(tomogram, images, particles, options)
    work = _Search(tomogram, images, particles, reference, options)
    work.at = expected_places(tomogram, particles, trajectories)
    with ThreadPoolExecutor(options.threads) as pool:
        found = list(pool.map(work.tilt, range(tomogram.n_tilts)))
    shifts, gain, error, deviations = (np.array(x) for x in zip(*found, strict=True))
    return ImageShifts(shifts, gain, error, deviations)


class _Search:
    """The work on one tomogram, image by image."""

    at: Array

    def __init__(
        self,
        tomogram: Tomogram,
        images: TiltImages,
        particles: ParticleSet,
        reference: Reference,
        options: EvidenceOptions,
    ) -> None:
        import scipy.fft

        self._images, self._options = images, options
        self._predictor = Predictor(tomogram, particles, reference, options.box)
        self._mine = own_masks(particles, tomogram)
        self._whitener = Whitener(images.size, whiten=options.whiten)
        self._k = np.hypot(np.fft.rfftfreq(options.box), np.fft.fftfreq(options.box)[:, None])
        # Particles may be expected beyond the edge, and images must not meet across it.
        self._canvas = tuple(scipy.fft.next_fast_len(n + 2 * options.box) for n in images.size)

    def tilt(self, t: int) -> tuple[Array, float, float, Array]:
        """The shift of one image, what it gains, the error of that, and the shift's deviation."""
        import scipy.fft

        nothing = np.zeros(2), 0.0, 0.0, np.full(2, np.nan)
        white = self._whitener(self._images.read(t))
        weight = self._predictor.weight(t, self._options.weighting, white.gain_at(self._k))
        rows = self._inside(t)
        if not weight.any() or len(rows) < _GROUPS:
            return nothing
        width, height = self._canvas
        seen = scipy.fft.rfft2(self._placed(white.image))
        maps, energy, whole = [], 0.0, np.zeros((height, width), np.float32)
        for group in range(_GROUPS):
            predicted = self._predicted(t, rows[group::_GROUPS], weight)
            whole += predicted
            energy += float(np.square(predicted, dtype=np.float64).sum())
            product = seen * scipy.fft.rfft2(predicted).conj()
            maps.append(scipy.fft.irfft2(product, s=(height, width)))
        best, *own = (_highest(m, self._images.size) for m in (sum(maps), *maps))
        gain = sum(float(m[y, x] - m[0, 0]) for m, (x, y) in zip(maps, reversed(own), strict=True))
        error = float(np.sqrt(2 * energy))
        if gain <= _SURE * error:
            return nothing
        slopes = [np.square(np.gradient(whole, axis=a), dtype=np.float64).sum() for a in (1, 0)]
        return _vertex(sum(maps), *best), gain, error, 1 / np.sqrt(slopes)

    def _inside(self, t: int) -> Ints:
        """Particles whose boxes are on the canvas; those of a half map are in both groups."""
        low = self.at[:, t] + self._options.box / 2
        on = ((low >= 0) & (low < np.array(self._images.size) + self._options.box)).all(axis=1)
        rows = np.flatnonzero(on & self._mine[:, t])
        return np.asarray(rows[np.argsort(self._predictor.halves[rows], kind="stable")])

    def _placed(self, image: Image) -> Image:
        """The image on the canvas, a box away from its corner."""
        width, height = self._canvas
        canvas, box = np.zeros((height, width), np.float32), self._options.box
        canvas[box : box + image.shape[0], box : box + image.shape[1]] = image
        return canvas

    def _predicted(self, t: int, rows: Ints, weight: Array) -> Image:
        """What the image should show of some particles, on the canvas."""
        import scipy.fft

        box, (width, height) = self._options.box, self._canvas
        canvas = np.zeros((height, width), np.float32)
        count = max(1, _AT_ONCE // box**2)
        for first in range(0, len(rows), count):
            batch = rows[first : first + count]
            at = self.at[batch, t] + box
            corner = np.rint(at).astype(np.int64) - box // 2
            slices = moved(self._predictor.images(t, batch, weight), at - corner)
            for (x, y), one in zip(corner, scipy.fft.irfft2(slices, s=(box, box)), strict=True):
                canvas[y : y + box, x : x + box] += one
        return canvas


def _highest(values: Image, size: tuple[int, int]) -> tuple[int, int]:
    """Displacement x, y of the highest value, up to half the size of an image."""
    width, height = size
    x, y = (np.r_[0 : n // 2 + 1, -(n // 2) : 0] for n in (width, height))
    part = values[np.ix_(y, x)]
    row, column = np.unravel_index(int(np.argmax(part)), part.shape)
    return int(x[column]), int(y[row])


def _vertex(values: Image, x: int, y: int) -> Array:
    """Top of the parabolas through a value and its neighbours: a displacement [px]."""
    at = np.array([x, y], np.float64)
    for axis, (a, b) in enumerate(((1, 0), (0, 1))):
        height, width = values.shape
        line = [float(values[(y + i * b) % height, (x + i * a) % width]) for i in (-1, 0, 1)]
        bow = line[0] - 2 * line[1] + line[2]
        at[axis] += np.clip((line[0] - line[2]) / (2 * bow), -0.5, 0.5) if bow < 0 else 0.0
    return at

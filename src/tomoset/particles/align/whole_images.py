"""Shifts of tilt images by all they show at once, however large: for series that are far off.

All particles together are predicted as one image, which is correlated with the tilt image. A
correlation about each particle would add up to the same, but reach no farther than its range, and
leave out particles that are expected beyond the edge of an image and are inside. Displacements of
up to a quarter of an image are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.images.boxes import TiltImages, shifted
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.extract import Extraction, ExtractionOptions, TiltParticles
from tomoset.particles.reference import Reference

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Displacements are tried up to this part of an image.
_REACH = 0.25
#: By so many standard errors a shift must be better to be believed.
_SURE = 3.0


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
    def shifted(self) -> npt.NDArray[np.bool_]:
        """Which images have a shift."""
        return np.asarray(self.shifts.any(axis=1))

    def applied(self, tomogram: Tomogram) -> Tomogram:
        """The tomogram with these shifts."""
        if not self.shifted.any():
            return tomogram
        projections = tomogram.need_projections().copy()
        projections[:, :2, 3] += self.shifts
        return replace(tomogram, projections=projections, alignment=None)


def shifts_by_images(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: ExtractionOptions,
    trajectories: Array | None = None,
) -> ImageShifts:
    """Find by how much whole tilt images are displaced, up to a quarter of their size.

    Parameters
    ----------
    tomogram, images, particles, reference, options, trajectories
        As of `tomoset.particles.extract.Extraction`.

    Raises
    ------
    TomosetError
        As `tomoset.particles.extract.Extraction` does, or if no particle may be in any image.
    """
    of = Extraction(tomogram, images, particles, reference, options, trajectories)
    search = _Search(of, images.size, options.box)
    of.run(search.add)
    return search.found


class _Search:
    """The work on one tomogram, image by image."""

    def __init__(
        self,
        of: Extraction,
        size: tuple[int, int],
        box: int,
    ) -> None:
        import scipy.fft

        self._of, self._box = of, box
        # Particles may be expected beyond the edge, and images must not meet across it.
        self._reach = [int(_REACH * n) for n in size]
        self._margin = np.array(self._reach) + box
        of.visible = of.visible_within(box / 2 - self._margin)
        self._canvas = tuple(
            scipy.fft.next_fast_len(int(n + 2 * m)) for n, m in zip(size, self._margin, strict=True)
        )
        n = of.visible.shape[1]
        self.found = ImageShifts(
            np.zeros((n, 2)), np.zeros(n), np.zeros(n), np.full((n, 2), np.nan)
        )

    def add(self, tilt: TiltParticles) -> None:
        """Find the shift of one image."""
        import scipy.fft

        if len(tilt.rows) < 2:
            return
        width, height = self._canvas
        seen = scipy.fft.rfft2(self._placed(tilt.image))
        # Each half of the particles says whether the shift that the other finds is better; those
        # of a half map are in both.
        halves = [self._predicted(tilt, tilt.rows[half::2]) for half in (0, 1)]
        maps = [
            scipy.fft.irfft2(seen * scipy.fft.rfft2(half).conj(), s=(height, width))
            for half in halves
        ]
        gain, error = self._confirmed(halves, maps)
        if gain <= _SURE * error:
            return
        whole, values = sum(halves), sum(maps)
        slopes = [np.square(np.gradient(whole, axis=a), dtype=np.float64).sum() for a in (1, 0)]
        found, t = self.found, tilt.tilt
        found.shifts[t] = _vertex(values, *self._highest(values))
        found.gain[t], found.error[t] = gain, error
        found.deviations[t] = 1 / np.sqrt(slopes)

    def _confirmed(self, halves: list[Image], maps: list[Image]) -> tuple[float, float]:
        """What each half gains by the other's shift, and the standard error if that is noise.

        Where particles overlap, the noise of one map is in the other too: what is not is asked.
        """
        energy = [float(np.square(half, dtype=np.float64).sum()) for half in halves]
        shared = float((halves[0].astype(np.float64) * halves[1]).sum())
        gain, variance = 0.0, 0.0
        for finds, says in ((0, 1), (1, 0)):
            if not energy[finds] > 0:
                return 0.0, 0.0
            x, y = self._highest(maps[finds])
            share = shared / energy[finds]
            gain += float(maps[says][y, x] - maps[says][0, 0])
            gain -= share * float(maps[finds][y, x] - maps[finds][0, 0])
            variance += 2 * max(energy[says] - share * shared, 0.0)
        return gain, float(np.sqrt(variance))

    def _highest(self, values: Image) -> tuple[int, int]:
        """Displacement x, y of the highest value within reach."""
        x, y = (np.r_[0 : n + 1, -n:0] for n in self._reach)
        part = values[np.ix_(y, x)]
        row, column = np.unravel_index(int(np.argmax(part)), part.shape)
        return int(x[column]), int(y[row])

    def _placed(self, image: Image) -> Image:
        """The image in the middle of the canvas."""
        (width, height), (x, y) = self._canvas, self._margin
        canvas = np.zeros((height, width), np.float32)
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
        return canvas

    def _predicted(self, tilt: TiltParticles, rows: Ints) -> Image:
        """What the image should show of some particles, on the canvas."""
        import scipy.fft

        of, box, (width, height) = self._of, self._box, self._canvas
        canvas = np.zeros((height, width), np.float32)
        for batch in of.batches(rows, box):
            at = of.at[batch, tilt.tilt] + self._margin
            corner = np.rint(at).astype(np.int64) - box // 2
            predicted = of.predictor.images(tilt.tilt, batch, tilt.weight)
            slices = shifted(of.device.device.to_host(predicted), at - corner)
            for (x, y), one in zip(corner, scipy.fft.irfft2(slices, s=(box, box)), strict=True):
                canvas[y : y + box, x : x + box] += one
        return canvas


def _vertex(values: Image, x: int, y: int) -> Array:
    """Top of the parabolas through a value and its neighbours: a displacement [px]."""
    at = np.array([x, y], np.float64)
    for axis, (a, b) in enumerate(((1, 0), (0, 1))):
        height, width = values.shape
        line = [float(values[(y + i * b) % height, (x + i * a) % width]) for i in (-1, 0, 1)]
        bow = line[0] - 2 * line[1] + line[2]
        at[axis] += np.clip((line[0] - line[2]) / (2 * bow), -0.5, 0.5) if bow < 0 else 0.0
    return at

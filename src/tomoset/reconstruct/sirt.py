"""Simultaneous iterative reconstruction, which stops by itself.

Gilbert, J. Theor. Biol. 36 (1972) 105. In every round the volume is projected, and what images
and projections differ by is spread back along the beams, divided by how much of the volume each
pixel and each voxel has met.

It fits the noise in the end. A few pixels are therefore kept from it (it is given the mean of
their neighbours instead), and it stops when the error there no longer falls: they know the
specimen, but none of the noise in the other pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Device, DeviceArray
from tomoset.images.projector import Projector
from tomoset.reconstruct.back_projection import filtered, slabs
from tomoset.reconstruct.depths import batches
from tomoset.reconstruct.filters import Filters
from tomoset.reconstruct.plan import Plan
from tomoset.run import doing

Images = npt.NDArray[np.float32]

#: Share of pixels that are kept back, and the least that their error must fall by in a round.
KEPT_BACK, LEAST_GAIN = 0.02, 1e-3

#: A pixel that meets less of the volume than this share of the most is left out.
_LEAST_PATH = 0.05


@dataclass(frozen=True)
class Round:
    """One round: errors, rms over pixels, of those that were fitted and of those kept back."""

    fitted: float
    kept_back: float


def sirt(
    plan: Plan, transforms: Sequence[DeviceArray], tilts: Sequence[int], device: Device
) -> tuple[DeviceArray, list[Round]]:
    """Reconstruct by iterations.

    Parameters
    ----------
    plan, transforms, tilts, device
        As for `back_projection`.

    Returns
    -------
    volume : (z, y, x) float32 array
        On the device, in image units per voxel of depth.
    rounds : list of Round
        What each round began with; the last one found no gain, or was the last allowed.
    """
    (batch,) = batches(plan, tilts)
    images = filtered(plan, transforms, Filters(plan, tilts), batch, device)[:, 0]
    solver = _Solver(_Views(plan, batch.projector(plan, plan.projector(device))), images)
    rounds: list[Round] = []
    for _ in range(plan.options.iterations):
        rounds.append(solver.error())
        if len(rounds) > 1 and rounds[-1].kept_back > (1 - LEAST_GAIN) * rounds[-2].kept_back:
            break
        solver.improve()
        doing(f"round {len(rounds)} of {plan.options.iterations} at most")
    return solver.volume, rounds


def as_slabs(volume: DeviceArray, device: Device) -> Iterator[Images]:
    """A volume in slabs along z, as `back_projection` gives them."""
    for first, last in slabs(volume.shape[::-1]):
        yield np.asarray(device.to_host(volume[first:last]))


class _Views:
    """The projector, whose images are finer than voxels, with images that are not.

    What it projects is cropped in Fourier space, and what it spreads back is sampled more finely
    there: the one is the adjoint of the other.
    """

    def __init__(self, plan: Plan, projector: Projector) -> None:
        self.projector, self.device = projector, projector.device
        self._axis = -1 if plan.finer[0] > 1 else -2
        self._times = max(plan.finer)
        self._pixels = plan.cropping.kept[self._axis == -2]

    def forward(self, volume: DeviceArray) -> DeviceArray:
        """Images that the volume gives, (n, y, x): a pixel holds the sum of its finer ones."""
        return self._resampled(self.projector.forward(volume), self._pixels, 1)

    def prepared(self, images: DeviceArray) -> DeviceArray:
        """Images, to be spread back part by part with `projector.part`: the adjoint."""
        length = self._pixels * self._times
        return self.projector.prepared(self._resampled(images, length, self._times))

    def _resampled(self, images: DeviceArray, length: int, factor: int) -> DeviceArray:
        """Images of another length along one axis, with the waves that both can hold."""
        waves = self.device.fft.rfft(images, axis=self._axis)
        below = (self._pixels - 1) // 2 + 1
        kept = waves[..., :below] if self._axis == -1 else waves[:, :below]
        return self.device.fft.irfft(kept * np.float32(factor), n=length, axis=self._axis)


class _Solver:
    def __init__(self, views: _Views, images: DeviceArray) -> None:
        self._views, self._images = views, images
        xp = views.device.xp
        self.volume = xp.zeros(views.projector.size[::-1], dtype=np.float32)
        path = views.forward(xp.ones_like(self.volume))
        self._used = path > _LEAST_PATH * path.max()
        drawn = np.random.default_rng(0).random(images.shape) < KEPT_BACK
        self._kept_back = xp.asarray(drawn) & self._used
        self._path = xp.maximum(path, 1)
        self._met = self._met_by(self._used.astype(np.float32))
        around = [xp.roll(images, step, axis) for axis in (-1, -2) for step in (-1, 1)]
        self._given = xp.where(self._kept_back, sum(around) / 4, images)
        self._misfit = images

    def error(self) -> Round:
        """How far the volume is from the images; keeps the misfit for `improve`."""
        projected = self._views.forward(self.volume)
        self._misfit = self._given - projected
        squares, fitted = (self._images - projected) ** 2, self._used & ~self._kept_back
        return Round(*(self._rms(squares, m) for m in (fitted, self._kept_back)))

    def _rms(self, squares: DeviceArray, mask: DeviceArray) -> float:
        mean = float((squares * mask).sum(dtype=np.float64)) / max(int(mask.sum()), 1)
        return math.sqrt(mean)

    def improve(self) -> None:
        """Spread back what the images and the projected volume differ by."""
        xp = self._views.device.xp
        misfit = xp.where(self._used, self._misfit / self._path, 0).astype(np.float32)
        prepared, projector = self._views.prepared(misfit), self._views.projector
        for first, last in slabs(projector.size):
            change = projector.part(first, last).back_prepared(prepared)
            change /= self._met[first:last]
            self.volume[first:last] += change

    def _met_by(self, images: DeviceArray) -> DeviceArray:
        """How much of these images every voxel meets, at least half a pixel: (z, y, x)."""
        met = self._views.projector.back_prepared(self._views.prepared(images))
        return self._views.device.xp.maximum(met, np.float32(0.5))

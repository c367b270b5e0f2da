"""How much of what images show is signal: measured as what neighbours in tilt show alike.

Two images of almost the same direction show the same matter, with noise of their own. Put onto the
middle plane of the tomogram, their transforms agree wherever their central slices are closer than
the specimen's transform is thick: there the cross-spectrum is signal, and the rest of the power
is noise. Whatever else an image shows that its neighbours do not (a shift that is wrong, ice on
the lens, a blocked beam) counts as noise, which is what it is for the tomogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from tomoset.images.device import Device, DeviceArray
from tomoset.images.weighting import slices
from tomoset.reconstruct.plan import Plan

Array = npt.NDArray[np.float64]
Images = npt.NDArray[np.float32]

#: Voxels across the part of the middle plane that is looked at, at most, and in a ring.
PATCH, _RING = 384, 4

#: Of the thickness of a slice: how far apart two may be to be compared.
_NEAR = 0.3

#: Share of signal in the power, between which it is believed. Where there is less, nothing is
#: gained by a flatter filter, and noise that is common to all directions would stand out.
_SHARES = (0.2, 0.98)

#: Cosine of a tilt that is taken for one of 90 degrees.
_STEEPEST = 1e-3

#: What an image that shows nothing is still believed.
_LEAST = 1e-3

#: Images next to another in tilt, on both sides, that say what is usual there.
_AROUND = 3

#: Rounds in which what images agree by is shared out among them.
_TURNS = 20

#: Standard errors by which an image must be worse than those to count less.
_SURE = 3.0


@dataclass(frozen=True, eq=False)
class Agreement:
    """Signal and noise of some images.

    Parameters
    ----------
    frequencies : (rings,) array
        [1/Å]
    share : (rings,) array
        Of signal in the power of an image, as a mean over images, from 0 to 1.
    weights : (n,) array
        Signal to noise of each image in units of its neighbours' where it is worse, or else 1.
    """

    frequencies: Array
    share: Array
    weights: Array

    @classmethod
    def perfect(cls, n: int) -> Agreement:
        """Of n images without noise."""
        return cls(np.zeros(1), np.ones(1), np.ones(n))

    def noise(self, k: Array) -> Images:
        """Noise power in units of signal power at frequencies [1/Å]."""
        share = np.clip(np.interp(k, self.frequencies, self.share), *_SHARES)
        return (1 / share - 1).astype(np.float32)


def agreement(
    plan: Plan, transforms: Sequence[DeviceArray], tilts: Sequence[int], device: Device
) -> Agreement:
    """Signal and noise of some images, from what those next to each other in tilt show alike.

    Parameters
    ----------
    plan : Plan
        Geometry; its thickness is taken as the specimen's.
    transforms : sequence of arrays
        Of all images, as `Cropping.transform` gives them.
    tilts : sequence of int
        The images to take.
    device : Device
        Where they are.

    Returns
    -------
    Agreement
        That of perfect images where there are too few of them, or too few voxels.
    """
    waves = _Waves(plan, tilts, np.stack(list(_planes(plan, transforms, tilts, device))))
    pairs = waves.pairs()
    found = [waves.compare(i, j) for i, j in pairs]
    if not found or len(waves.rings) < 2:
        return Agreement.perfect(len(tilts))
    alike, modes = (np.array(values) for values in zip(*found, strict=True))
    share = (alike * modes).sum(axis=0) / np.maximum(modes.sum(axis=0), 1)
    # Of each pair one number: how far it agrees in units of the mean, rings with signal first.
    seen = np.clip(share, 0, _SHARES[1])
    known = (modes * seen**2).sum(axis=1)
    relative = (alike * modes * seen).sum(axis=1) / np.maximum(known, 1e-9)
    amplitude, error = _amplitudes(pairs, relative, known, len(tilts))
    mean = float((modes * seen**2).sum() / max((modes * seen).sum(), 1e-9))
    usual = _around(amplitude, waves.order)
    best = np.minimum(amplitude + _SURE * error, usual)
    weights = _signal_to_noise(mean * best**2) / _signal_to_noise(mean * usual**2)
    return Agreement(waves.rings[1:], share[1:], weights)


def _planes(
    plan: Plan, transforms: Sequence[DeviceArray], tilts: Sequence[int], device: Device
) -> Iterator[Images]:
    """What each image shows on the middle plane of the volume: (y, x), at most a patch."""
    whole, (width, height, depth) = plan.projector(device), plan.size
    corner = [max(0, (n - PATCH) // 2) for n in (height, width)]
    patch = tuple(slice(start, start + PATCH) for start in corner)

    def image(i: int) -> DeviceArray:
        transfer = device.xp.asarray(plan.transfer(i, float(plan.depths[i].mean())))
        return plan.cropping.image_of(transforms[i] * transfer, device, plan.finer)

    # One thread for a GPU: each has its own plans of transforms there, and their memory.
    threads = plan.threads if device.name == "cpu" else 1
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(tilts), threads):  # few at a time: they may be large
            some = tilts[first : first + threads]
            for i, shown in zip(some, pool.map(image, some), strict=True):
                plane = whole.of([i]).part(depth // 2, depth // 2 + 1).back(shown[None])[0]
                yield np.asarray(device.to_host(plane[patch]))


class _Waves:
    """Transforms of images on one plane, whose frequencies are compared in rings."""

    def __init__(self, plan: Plan, tilts: Sequence[int], planes: Images) -> None:
        import scipy.fft

        height, width = planes.shape[1:]
        window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        window = window.astype(np.float32)
        planes -= (planes * window).sum(axis=(1, 2), keepdims=True) / window.sum()
        waves = scipy.fft.rfft2(planes * window, workers=plan.threads)
        voxel = plan.pixel_size * plan.binning
        y, x = np.fft.fftfreq(height, voxel)[:, None], np.fft.rfftfreq(width, voxel)
        step = _RING / (max(height, width) * voxel)
        ring = (np.hypot(x, y) / step).astype(np.int64)
        self._n_rings = max(1, int(0.5 / voxel / step))
        self.rings = (np.arange(self._n_rings) + 0.5) * step
        # The ring about zero shows what the images' edges do to it.
        inside = (ring > 0) & (ring < self._n_rings)
        self._waves, self._ring = waves[:, inside], ring[inside]
        self._k = np.stack(np.broadcast_arrays(x, y))[:, inside].astype(np.float32)
        beams = slices(plan.projections[list(tilts)])[1]
        #: Where the slices lie: z = -(x, y) @ slope.
        steep = np.maximum(np.abs(beams[:, 2:]), _STEEPEST)
        self._slopes = beams[:, :2] / np.copysign(steep, beams[:, 2:])
        self._thickness = plan.thickness

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The images in the order of their tilts."""
        away = self._slopes - self._slopes.mean(axis=0)
        along = np.linalg.svd(away, full_matrices=False)[2][0]
        return np.argsort(away @ along, kind="stable")

    def pairs(self) -> list[tuple[int, int]]:
        """Each image with the next two in tilt."""
        return [
            (int(i), int(j))
            for step in (1, 2)
            for i, j in zip(self.order[:-step], self.order[step:], strict=True)
        ]

    def compare(self, i: int, j: int) -> tuple[Array, Array]:
        """What part of two images' power they have in common, and from how many waves: rings."""
        difference = self._thickness * (self._slopes[i] - self._slopes[j])
        apart = np.abs(difference.astype(np.float32) @ self._k)
        near = np.flatnonzero(apart < _NEAR)
        # A uniform slab has the transform of a box along z.
        expected, ring = np.sinc(apart[near]), self._ring[near]
        one, other = self._waves[i][near], self._waves[j][near]

        def summed(values: Array) -> Array:
            return np.asarray(np.bincount(ring, values, self._n_rings), dtype=np.float64)

        modes = summed(np.ones(len(ring)))
        powers = summed(np.abs(one) ** 2) * summed(np.abs(other) ** 2)
        common = summed((one * other.conj()).real * expected) / np.maximum(
            summed(expected**2), 1e-9
        )
        norm = np.sqrt(powers) / np.maximum(modes, 1)
        seen = norm > 0  # of an image that shows nothing at all, nothing is learned
        return np.divide(common, norm, out=np.zeros_like(norm), where=seen), modes * seen


def _amplitudes(
    pairs: list[tuple[int, int]], relative: Array, known: Array, n: int
) -> tuple[Array, Array]:
    """Of n images, of which two agree as the product of their amplitudes; and standard errors.

    Found in turns. `known` is the squared inverse of an error, and twice that.
    """
    table, weights = np.zeros((n, n)), np.zeros((n, n))
    for (i, j), value, weight in zip(pairs, relative, known, strict=True):
        table[i, j] = table[j, i] = value
        weights[i, j] = weights[j, i] = weight
    amplitude = np.ones(n)
    for _ in range(_TURNS):
        sums = np.maximum((weights * amplitude**2).sum(axis=1), 1e-9)
        amplitude = (amplitude + np.maximum((weights * table) @ amplitude / sums, 0)) / 2
    sums = (weights * amplitude**2).sum(axis=1)
    return amplitude, 1 / np.sqrt(np.maximum(2 * sums, 1e-9))


def _around(values: Array, order: npt.NDArray[np.int64]) -> Array:
    """Medians of each value and those next to it in an order.

    What changes slowly with the tilt is thus no matter: it may as well be the specimen, whose
    membranes are seen edge-on in one direction.
    """
    sorted_ = np.pad(values[order], _AROUND, mode="reflect" if len(order) > _AROUND else "edge")
    medians = np.empty(len(values))
    medians[order] = np.median(sliding_window_view(sorted_, 2 * _AROUND + 1), axis=1)
    return medians


def _signal_to_noise(share: Array) -> Array:
    """Of images, from shares of signal in their power."""
    clipped = np.clip(share, _LEAST, _SHARES[1])
    return np.asarray(clipped / (1 - clipped))

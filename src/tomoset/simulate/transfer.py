"""What the microscope does to a spectrum, at every depth, and what radiation leaves of it.

docs/relion.md, 'CTF and dose', written out here: `tomoset.images.ctf` is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Acquisition, Views
from tomoset.simulate.field import Field, Spectrum

Array = npt.NDArray[np.float64]

#: From one plane to the next the phase of the finest wave changes by so much [rad], unless there
#: would be more planes than these.
_PHASE_STEP, _PLANES = 0.25, 64
#: Spaces between planes that very many points are spread into at once.
_TOGETHER = 8

ByPlane = Callable[[Field, Array, Array, Array, Array], Iterator[Spectrum | None]]


class Transfer:
    """The contrast transfer function of one image at any depth: positive for coarse structure.

    Parameters
    ----------
    acquisition, views
        How the image was taken.
    image : int
        Which one, from 0.
    amplitude : float, optional
        Amplitude contrast of what absorbs: its function is 1 at 0. By default the
        microscope's, and the function at 0 is that.
    """

    def __init__(
        self, acquisition: Acquisition, views: Views, image: int, amplitude: float | None = None
    ) -> None:
        kilovolt = acquisition.voltage
        self.wavelength = 12.2643247 / np.sqrt(
            1000 * kilovolt * (1 + 0.978466e-6 * 1000 * kilovolt)
        )
        self.acquisition = acquisition
        self.defocus = views.defocus_u[image], views.defocus_v[image]
        self.angle = np.deg2rad(views.defocus_angle[image])
        self.contrast = acquisition.amplitude_contrast if amplitude is None else amplitude
        self.gain = 1.0 if amplitude is None else 1 / amplitude

    def phase(self, x: Array, y: Array, depth: float) -> Array:
        """The angle whose negative sine is the function, at frequencies [1/Å] and a depth [px]."""
        taken = self.acquisition
        change = taken.hand * taken.pixel_size * depth
        u, v = (defocus + change for defocus in self.defocus)
        # Along and across the axis of astigmatism.
        along = x * np.cos(self.angle) + y * np.sin(self.angle)
        across = y * np.cos(self.angle) - x * np.sin(self.angle)
        focus = np.pi * self.wavelength * (u * along**2 + v * across**2)
        aberration = 0.5e7 * np.pi * taken.spherical_aberration * self.wavelength**3
        squared = x * x + y * y
        return np.asarray(aberration * squared**2 - focus - np.arcsin(self.contrast))

    def phase_change(self, x: Array, y: Array, depth: float) -> Array:
        """How much that angle changes over a depth [px]."""
        taken = self.acquisition
        change = taken.hand * taken.pixel_size * depth
        return np.asarray(-np.pi * self.wavelength * change * (x * x + y * y))

    def planes(self, depth: Array) -> Array:
        """Depths [px] of planes between which the function is as good as linear: (n,)."""
        low, high = float(depth.min()), float(depth.max())
        finest = 0.5 / self.acquisition.pixel_size**2  # the corner of the spectrum
        step = _PHASE_STEP / (np.pi * self.wavelength * finest * self.acquisition.pixel_size)
        return np.linspace(low, high, min(int(np.ceil((high - low) / step)) + 1, _PLANES))


def one_by_one(
    field: Field, points: Array, depth: Array, weights: Array, planes: Array
) -> Iterator[Spectrum | None]:
    """The spectrum of what belongs to each plane, if anything does.

    Every point is shared between the planes above and below it.
    """
    order = np.argsort(depth)
    points, depth, weights = points[order], depth[order], weights[order]
    step = _step(planes)
    for plane in planes:
        first, last = np.searchsorted(depth, [plane - step, plane + step])
        share = 1 - np.abs(depth[first:last] - plane) / step
        shared = points[first:last], weights[first:last] * share
        yield field.transform(*shared) if len(share) else None


def at_once(
    field: Field, points: Array, depth: Array, weights: Array, planes: Array
) -> Iterator[Spectrum | None]:
    """The same of very many points, of which each is taken up once."""
    shown = field.holds(points)
    points, depth, weights = points[shown], depth[shown], weights[shown]
    level = (depth - planes[0]) / _step(planes)
    spaces, left = max(len(planes) - 1, 1), None
    for first in range(0, spaces, _TOGETHER):
        last = min(first + _TOGETHER, spaces)
        here = (level >= first) & ((level < last) | (last == spaces))
        among = last - first + 1
        made = field.transforms(points[here], level[here] - first, weights[here], among)
        if left is not None:
            made[0] += left
        left = made.pop()
        yield from made
    yield left


def _step(planes: Array) -> float:
    return float(planes[1] - planes[0]) if len(planes) > 1 else 1.0


def imaged(
    field: Field,
    points: Array,
    depth: Array,
    weights: Array,
    transfer: Transfer,
    by_plane: ByPlane = one_by_one,
) -> Spectrum:
    """The spectrum of points at any depths, each with the transfer function of its own.

    It is the mean of those of the planes above and below, as each point is shared between them.
    """
    if not transfer.acquisition.ctf:
        return field.transform(points, weights)
    planes = transfer.planes(depth)
    x, y = field.frequencies(transfer.acquisition.pixel_size)
    wave = np.exp(1j * transfer.phase(x, y, planes[0])).astype(np.complex64)
    change = np.exp(1j * transfer.phase_change(x, y, _step(planes))).astype(np.complex64)
    total = np.zeros(wave.shape, np.complex64)
    for spectrum in by_plane(field, points, depth, weights, planes):
        if spectrum is not None:
            spectrum *= wave.imag
            total -= spectrum
        wave *= change
    total *= np.float32(transfer.gain)
    return total


def damage(frequency: Array, exposure: float) -> Array:
    """What radiation leaves of a wave of this frequency [1/Å], as an amplitude: exp(-D / 2N).

    N is the critical exposure of Grant and Grigorieff, eLife 4:e06980 (2015), D the exposure
    [e/Å²].
    """
    known = np.maximum(frequency, 1e-9)
    return np.asarray(np.exp(-exposure / (2 * (0.245 * known**-1.665 + 2.81))))

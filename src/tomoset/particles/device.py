"""Where particles are predicted and correlated: on the processor, or on a GPU.

Both offer the same few things, so that everything above is written once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tomoset.images.boxes import cut
from tomoset.images.device import Cpu, Device, DeviceArray, open_device
from tomoset.particles.slices import MapTransform

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Of the kernels for a GPU.
SOURCE = Path(__file__).with_name("cuda.cu")
#: In a block of a GPU.
_THREADS = 256


class ParticleDevice(Protocol):
    """What a device offers. Arrays that are not said to be of the host are the device's."""

    device: Device
    #: Pixels of boxes that are best worked on at once.
    at_once: int

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        """An array of the host, on the device."""
        return self.device.xp.asarray(array)

    def slices(
        self, transform: MapTransform, linear: Array, box: int, radius: float
    ) -> DeviceArray:
        """As `MapTransform.slices`: (n, box, box // 2 + 1)."""
        ...

    def modulate(
        self, slices: DeviceArray, cycles: Floats, squares: Floats, changes: Array, weight: Floats
    ) -> None:
        """Multiply slices, in place, by sin(2 pi (cycles - changes squares)) weight of the host."""
        ...

    def cut(self, image: DeviceArray, corners: Ints, box: int) -> DeviceArray:
        """Boxes of an image by their first pixels, x and y, 0 outside of it: (n, box, box)."""
        ...

    def match(
        self, seen: DeviceArray, predicted: DeviceArray, offsets: Array, fine: int
    ) -> tuple[DeviceArray, Array, Array]:
        """The transforms of correlations, (n, fine, fine // 2 + 1), and how sharp they would be.

        Returns
        -------
        product : array
            seen conj(predicted) exp(2 pi i k offsets / box), in the middle of a finer grid.
        energy, information : (n,) and (n, 3) arrays
            Of the host. The sum of squares of the predicted images, and their slopes squared: xx,
            xy, yy.
        """
        ...


class CpuParticles(ParticleDevice):
    """NumPy, scipy and numba."""

    at_once = 1 << 18  # they stay in the cache of a core

    def __init__(self) -> None:
        self.device: Device = Cpu()

    def slices(
        self, transform: MapTransform, linear: Array, box: int, radius: float
    ) -> DeviceArray:
        return transform.slices(linear, box, radius)

    def modulate(
        self, slices: DeviceArray, cycles: Floats, squares: Floats, changes: Array, weight: Floats
    ) -> None:
        from tomoset.particles import _kernels

        _kernels.image_slices(slices, cycles, squares, changes, weight)

    def cut(self, image: DeviceArray, corners: Ints, box: int) -> DeviceArray:
        return cut(image, corners, box)

    def match(
        self, seen: DeviceArray, predicted: DeviceArray, offsets: Array, fine: int
    ) -> tuple[DeviceArray, Array, Array]:
        from tomoset.particles import _kernels

        n, box, _ = seen.shape
        product = seen
        if fine > box:
            product = np.zeros((n, fine, fine // 2 + 1), np.complex64)
        energy, information = np.empty(n), np.empty((n, 3))
        _kernels.match(seen, predicted, offsets, product, energy, information)
        return product, energy, information


class CudaParticles(ParticleDevice):
    """CuPy and the kernels of ``cuda.cu``.

    Parameters
    ----------
    name : str
        Of the device, for `open_device`.

    Raises
    ------
    UnsupportedError
        If there is no such device, CuPy is not installed, or finds no GPU.
    """

    at_once = 1 << 25  # enough to be busy, and some 500 MB

    def __init__(self, name: str = "cuda") -> None:
        self.device: Device = open_device(name)
        xp: Any = self.device.xp
        module = xp.RawModule(code=SOURCE.read_text(), options=("--std=c++14",))
        self._kernel = module.get_function
        self._maps: list[tuple[MapTransform, DeviceArray]] = []

    def slices(
        self, transform: MapTransform, linear: Array, box: int, radius: float
    ) -> DeviceArray:
        known = self._map(transform)
        size, width = (np.int32(n) for n in transform.values.shape[1:3])
        out = self.device.xp.empty((len(linear), box, box // 2 + 1), dtype=np.complex64)
        # The last ring counts, and float32 must not lose it.
        sizes = np.int32(transform.padded), np.float32(radius * (1 + 1e-6))
        matrices = self.upload(np.ascontiguousarray(linear, np.float64))
        given = (known, size, width, matrices, *sizes, _floats(out), np.int32(len(linear)))
        self._run("slices", out.size, (*given, np.int32(box)))
        return out

    def modulate(
        self, slices: DeviceArray, cycles: Floats, squares: Floats, changes: Array, weight: Floats
    ) -> None:
        here = [
            self.upload(np.ascontiguousarray(a, np.float32)) for a in (cycles, squares, changes)
        ]
        sizes = np.int32(len(slices)), np.int32(cycles.size)
        given = (_floats(slices), *here, self.upload(np.ascontiguousarray(weight)), *sizes)
        self._run("modulate", slices.size, given)

    def cut(self, image: DeviceArray, corners: Ints, box: int) -> DeviceArray:
        n = len(corners)
        out = self.device.xp.empty((n, box, box), dtype=np.float32)
        at = self.upload(np.ascontiguousarray(corners, np.int32))
        height, width = (np.int32(k) for k in image.shape)
        given = (image, width, height, at, out, np.int32(n), np.int32(box))
        self._run("cut", out.size, given)
        return out

    def match(
        self, seen: DeviceArray, predicted: DeviceArray, offsets: Array, fine: int
    ) -> tuple[DeviceArray, Array, Array]:
        n, box, width = seen.shape
        product = self.device.xp.zeros((n, fine, fine // 2 + 1), dtype=np.complex64)
        at = self.upload(np.ascontiguousarray(offsets, np.float32))
        sizes = [np.int32(k) for k in (n, box, fine)]
        given = (_floats(seen), _floats(predicted), at, _floats(product), *sizes)
        self._run("match", seen.size, given)
        power = (_floats(predicted).reshape(n, box * width, 2) ** 2).sum(axis=2)
        sums = self.device.to_host(power @ self.upload(_moments(box))).astype(np.float64)
        return product, sums[:, 0], sums[:, 1:]

    def _map(self, transform: MapTransform) -> DeviceArray:
        for known, there in self._maps:
            if known is transform:
                return there
        self._maps.append((transform, self.upload(transform.values)))
        return self._maps[-1][1]

    def _run(self, name: str, threads: int, given: tuple[Any, ...]) -> None:
        if threads:
            self._kernel(name)((-(-threads // _THREADS),), (_THREADS,), given)


def open_particle_device(name: str) -> ParticleDevice:
    """The device of a name in `tomoset.images.device.DEVICES`.

    Raises
    ------
    UnsupportedError
        If there is no such device here, or what it needs is not installed.
    """
    return CpuParticles() if name == "cpu" else CudaParticles(name)


def _floats(array: DeviceArray) -> DeviceArray:
    """A complex array as pairs of floats."""
    return array.view(np.float32)


def _moments(box: int) -> Floats:
    """What the power of each wave adds to energy and information: (box * (box // 2 + 1), 4)."""
    kx = np.arange(box // 2 + 1) * 2 * np.pi / box
    ky = np.fft.fftfreq(box)[:, None] * 2 * np.pi
    twice = np.where(kx > 0, 2.0, 1.0) / box**2 * np.ones((box, 1))
    planes = [twice * m for m in (np.ones_like(ky), kx * kx, kx * ky, ky * ky)]
    return np.stack([p.ravel() for p in planes], axis=1).astype(np.float32)

"""Where particles are predicted and correlated: on the processor, or on a GPU.

Both offer the same few things, so that everything above is written once.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Cpu, Device, DeviceArray
from tomoset.particles.slices import MapTransform

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


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
        self, slices: DeviceArray, turns: Floats, squares: Floats, changes: Array, weight: Floats
    ) -> None:
        """Multiply slices, in place, by sin(2 pi (turns - changes squares)) weight, of the host."""
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
        self, slices: DeviceArray, turns: Floats, squares: Floats, changes: Array, weight: Floats
    ) -> None:
        from tomoset.particles import _kernels

        _kernels.image_slices(slices, turns, squares, changes, weight)

    def cut(self, image: DeviceArray, corners: Ints, box: int) -> DeviceArray:
        from tomoset.particles import _kernels

        boxes = np.empty((len(corners), box, box), np.float32)
        _kernels.cut(image, corners, boxes)
        return boxes

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


def open_particle_device(name: str) -> ParticleDevice:
    """The device of a name in `tomoset.images.device.DEVICES`.

    Raises
    ------
    UnsupportedError
        If there is no such device here, or what it needs is not installed.
    """
    if name == "cpu":
        return CpuParticles()
    from tomoset.particles.cuda import CudaParticles

    return CudaParticles(name)

"""Where arrays are computed: on the processor by NumPy and numba, or on a GPU by CuPy.

Both offer the same few things, so that everything above is written once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

import numpy as np

from tomoset.errors import UnsupportedError

#: An array of the device: NumPy's or CuPy's.
DeviceArray = Any

#: Names for the command line.
DEVICES = ("cpu", "cuda")


class Device(Protocol):
    """What a device offers.

    Images for `back_project` are flat, with the border that `Projector` gives them; matrices are
    (n, 3, 4): rows x and y to the bordered image [px], and to the level, of (x, y, z, 1) [voxels].
    """

    name: str
    xp: ModuleType  # numpy, or cupy, which has its functions
    fft: ModuleType  # scipy.fft, or cupyx.scipy.fft

    def to_host(self, array: DeviceArray) -> Any:
        """A NumPy array of it."""
        ...

    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        """The sum over images, by voxel: (z, y, x); `shape` is levels, height, width."""
        ...

    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        """Its adjoint, for one level: flat images with border."""
        ...

    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """Images (n, y, x) at each pixel plus its displacement (n, 2, y, x)."""
        ...

    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """The adjoint of `resample`."""
        ...


class Cpu:
    """NumPy, scipy and numba."""

    name = "cpu"

    def __init__(self) -> None:
        import scipy.fft

        self.xp: ModuleType = np
        self.fft: ModuleType = scipy.fft

    def to_host(self, array: DeviceArray) -> Any:
        """A NumPy array of it."""
        return array

    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        """The sum over images, by voxel: (z, y, x); `shape` is levels, height, width."""
        from tomoset.images import _kernels

        levels, height, width = shape
        out = np.empty(size[::-1], dtype=np.float32)
        _kernels.back_project(images, width, height, levels, matrices, out)
        return out

    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        """Its adjoint, for one level: flat images with border."""
        from tomoset.images import _kernels

        images = np.zeros(len(matrices) * width * height, dtype=np.float32)
        _kernels.project(volume, matrices, width, height, images)
        return images

    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """Images (n, y, x) at each pixel plus its displacement (n, 2, y, x)."""
        from tomoset.images import _kernels

        out = np.empty_like(images)
        _kernels.resample(images, displacements, out)
        return out

    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """The adjoint of `resample`."""
        from tomoset.images import _kernels

        out = np.zeros_like(images)
        _kernels.spread(images, displacements, out)
        return out


def open_device(name: str) -> Device:
    """The device of a name in `DEVICES`.

    Raises
    ------
    UnsupportedError
        If there is no such device here, or what it needs is not installed.
    """
    if name == "cpu":
        return Cpu()
    if name == "cuda":
        from tomoset.images.cuda import Cuda

        return Cuda()
    raise UnsupportedError(f"no device is called {name!r}; there are {', '.join(DEVICES)}")

"""Where arrays are computed: on the processor by NumPy and numba, or on a GPU by CuPy.

Both offer the same few things, so that everything above is written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tomoset.errors import UnsupportedError

#: An array of the device: NumPy's or CuPy's.
DeviceArray = Any

#: Names for the command line.
DEVICES = ("cpu", "cuda")

SOURCE = Path(__file__).with_name("cuda.cu")

#: Threads of a block along x, y, z of a volume: neighbours read the same pixels.
BLOCK = (32, 4, 2)

#: Voxels of a thread, along y.
TALL = 8


class Device(ABC):
    """What a device offers.

    Images for `back_project` are flat, with the border that `Projector` gives them; matrices are
    (n, 3, 4): rows x and y to the bordered image [px], and to the level, of (x, y, z, 1) [voxels].
    """

    name: str
    xp: ModuleType  # numpy, or cupy, which has its functions
    fft: ModuleType  # scipy.fft, or cupyx.scipy.fft

    @abstractmethod
    def to_host(self, array: DeviceArray) -> Any:
        """A NumPy array of it."""

    @abstractmethod
    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        """The sum over images, by voxel: (z, y, x); `shape` is levels, height, width."""

    @abstractmethod
    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        """Its adjoint, for one level: flat images with border."""

    @abstractmethod
    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """Images (n, y, x) at each pixel plus its displacement (n, 2, y, x)."""

    @abstractmethod
    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """The adjoint of `resample`."""


class Cpu(Device):
    """NumPy, scipy and numba."""

    name = "cpu"

    def __init__(self) -> None:
        import scipy.fft

        self.xp, self.fft = np, scipy.fft

    def to_host(self, array: DeviceArray) -> Any:
        return array

    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        from tomoset.images import _kernels

        levels, height, width = shape
        out = np.empty(size[::-1], dtype=np.float32)
        _kernels.back_project(images, width, height, levels, matrices, out)
        return out

    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        from tomoset.images import _kernels

        images = np.zeros(len(matrices) * width * height, dtype=np.float32)
        _kernels.project(volume, matrices, width, height, images)
        return images

    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        from tomoset.images import _kernels

        out = np.empty_like(images)
        _kernels.resample(images, displacements, out)
        return out

    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        from tomoset.images import _kernels

        out = np.zeros_like(images)
        _kernels.spread(images, displacements, out)
        return out


class Cuda(Device):
    """CuPy and the kernels of ``cuda.cu``.

    Raises
    ------
    UnsupportedError
        If CuPy is not installed, or finds no GPU.
    """

    name = "cuda"

    def __init__(self) -> None:
        try:
            import cupy
            import cupyx.scipy.fft as cupy_fft
        except ImportError as problem:
            raise UnsupportedError(
                f"--device cuda needs CuPy, which could not be loaded ({problem}): pip install "
                "'tomoset[gpu]', or take --device cpu"
            ) from None
        try:
            found = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as problem:
            raise UnsupportedError(
                f"CuPy finds no GPU here ({problem}): take --device cpu"
            ) from None
        if not found:
            raise UnsupportedError("CuPy finds no GPU here: take --device cpu")
        self.xp, self.fft = cupy, cupy_fft
        module = cupy.RawModule(code=SOURCE.read_text(), options=("--std=c++14", f"-DTALL={TALL}"))
        self._back = module.get_function("back_project")
        self._forward = module.get_function("project")
        self._resample = module.get_function("resample")
        self._spread = module.get_function("spread")

    def to_host(self, array: DeviceArray) -> Any:
        return self.xp.asnumpy(array)

    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        levels, height, width = (np.int32(n) for n in shape)
        out = self.xp.empty(size[::-1], dtype=np.float32)
        known = self.xp.asarray(matrices)
        sizes = [np.int32(n) for n in size]
        given = (images, width, height, levels, known, np.int32(len(matrices)), out, *sizes)
        self._back(_blocks(size), BLOCK, given)
        return out

    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        images = self.xp.zeros(len(matrices) * width * height, dtype=np.float32)
        size = volume.shape[::-1]
        sizes = [np.int32(n) for n in size]
        known = self.xp.asarray(matrices)
        n = np.int32(len(matrices))
        given = (volume, *sizes, known, n, images, np.int32(width), np.int32(height))
        self._forward(_blocks(size), BLOCK, given)
        return images

    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        out = self.xp.empty_like(images)
        self._by_pixel(self._resample, images, displacements, out)
        return out

    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        out = self.xp.zeros_like(images)
        self._by_pixel(self._spread, images, displacements, out)
        return out

    def _by_pixel(self, kernel: Any, *arrays: DeviceArray) -> None:
        threads, sizes = 256, [np.int32(n) for n in arrays[0].shape]
        kernel((-(-arrays[0].size // threads),), (threads,), (*arrays, *sizes))


def _blocks(size: tuple[int, int, int]) -> tuple[int, ...]:
    x, y, z = BLOCK
    return tuple(-(-n // b) for n, b in zip(size, (x, TALL * y, z), strict=True))


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
        return Cuda()
    raise UnsupportedError(f"no device is called {name!r}; there are {', '.join(DEVICES)}")

"""The projectors on a GPU, through CuPy."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tomoset.errors import UnsupportedError
from tomoset.images.device import DeviceArray

SOURCE = Path(__file__).with_name("cuda.cu")

#: Threads of a block along x, y, z of a volume: neighbours read the same pixels.
BLOCK = (32, 4, 2)

#: Voxels of a thread, along y.
TALL = 8


class Cuda:
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
        self.xp: ModuleType = cupy
        self.fft: ModuleType = cupy_fft
        module = cupy.RawModule(code=SOURCE.read_text(), options=("--std=c++14", f"-DTALL={TALL}"))
        self._back = module.get_function("back_project")
        self._forward = module.get_function("project")
        self._resample = module.get_function("resample")
        self._spread = module.get_function("spread")

    def to_host(self, array: DeviceArray) -> Any:
        """A NumPy array of it."""
        return self.xp.asnumpy(array)

    def back_project(
        self,
        images: DeviceArray,
        shape: tuple[int, int, int],
        matrices: Any,
        size: tuple[int, int, int],
    ) -> DeviceArray:
        """The sum over images, by voxel: (z, y, x); `shape` is levels, height, width."""
        levels, height, width = (np.int32(n) for n in shape)
        out = self.xp.empty(size[::-1], dtype=np.float32)
        known = self.xp.asarray(matrices)
        sizes = [np.int32(n) for n in size]
        given = (images, width, height, levels, known, np.int32(len(matrices)), out, *sizes)
        self._back(_blocks(size), BLOCK, given)
        return out

    def project(self, volume: DeviceArray, matrices: Any, width: int, height: int) -> DeviceArray:
        """Its adjoint, for one level: flat images with border."""
        images = self.xp.zeros(len(matrices) * width * height, dtype=np.float32)
        size = volume.shape[::-1]
        sizes = [np.int32(n) for n in size]
        known = self.xp.asarray(matrices)
        n = np.int32(len(matrices))
        given = (volume, *sizes, known, n, images, np.int32(width), np.int32(height))
        self._forward(_blocks(size), BLOCK, given)
        return images

    def resample(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """Images (n, y, x) at each pixel plus its displacement (n, 2, y, x)."""
        out = self.xp.empty_like(images)
        self._by_pixel(self._resample, images, displacements, out)
        return out

    def spread(self, images: DeviceArray, displacements: DeviceArray) -> DeviceArray:
        """The adjoint of `resample`."""
        out = self.xp.zeros_like(images)
        self._by_pixel(self._spread, images, displacements, out)
        return out

    def _by_pixel(self, kernel: Any, *arrays: DeviceArray) -> None:
        threads, sizes = 256, [np.int32(n) for n in arrays[0].shape]
        kernel((-(-arrays[0].size // threads),), (threads,), (*arrays, *sizes))


def _blocks(size: tuple[int, int, int]) -> tuple[int, ...]:
    x, y, z = BLOCK
    return tuple(-(-n // b) for n, b in zip(size, (x, TALL * y, z), strict=True))

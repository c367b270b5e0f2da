"""Images and volumes: in memory, as bytes, as files."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import numpy as np
import numpy.typing as npt


class Images:
    """Images in the place of a file."""

    def __init__(self, images: npt.ArrayLike) -> None:
        self.images = np.asarray(images, np.float32)
        self.size = self.images.shape[2], self.images.shape[1]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        return self.images[i]


def mrc_bytes(
    data: bytes,
    mode: int,
    n: int = 3,
    *,
    size: tuple[int, int] = (7, 5),
    order: str = "<",
    stamp: tuple[int, int] = (0, 0),
    low_high: tuple[float, float] = (0, 0),
    extended: int = 0,
    old: bool = False,
) -> bytes:
    """An MRC file, by the page on the format and not by the code under test."""
    header = bytearray(1024)
    struct.pack_into(f"{order}10i", header, 0, *size, n, mode, 0, 0, 0, *size, n)
    struct.pack_into(f"{order}3f", header, 40, size[0] * 2.5, size[1] * 2.5, n * 2.5)
    struct.pack_into(f"{order}2f", header, 76, *low_high)
    struct.pack_into(f"{order}i", header, 92, extended)
    struct.pack_into(f"{order}2i", header, 152, *stamp)
    if not old:
        header[208:214] = b"MAP DD" if order == "<" else b"MAP \x11\x11"
    return bytes(header) + b"\x07" * extended + data


def write_images(path: str | Path, images: np.ndarray, pixel_size: float = 1.0) -> None:
    """A stack of images, (n, y, x)."""
    with mrcfile.new(path, images, overwrite=True) as stack:
        stack.set_image_stack()
        stack.voxel_size = pixel_size


def read_volume(path: str | Path | None) -> np.ndarray:
    assert path is not None
    with mrcfile.open(path) as file:
        return np.asarray(file.data, dtype=np.float64)


def write_stack(
    path: Path, n: int, size: tuple[int, int] = (64, 48), pixel_size: float = 2.0
) -> None:
    """A stack whose image i holds the value i, in 16-bit integers."""
    nx, ny = size
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, nx, ny, n, 1, 0, 0, 0, nx, ny, n)
    struct.pack_into("<3f", header, 40, nx * pixel_size, ny * pixel_size, n * pixel_size)
    header[208:214] = b"MAP DD"
    images = np.broadcast_to(np.arange(n, dtype="<i2")[:, None, None], (n, ny, nx))
    path.write_bytes(bytes(header) + images.tobytes())


def write_map(path: str | Path, density: npt.ArrayLike, pixel_size: float = 5.4) -> None:
    """A map as an MRC file."""
    with mrcfile.new(path, np.asarray(density, np.float32), overwrite=True) as out:
        out.voxel_size = pixel_size

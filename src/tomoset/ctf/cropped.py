"""Images of a series without the frequencies at which no rings are seen."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.ctf.beads import Left, cleared
from tomoset.hand.rings import Tiles
from tomoset.images.device import Cpu
from tomoset.images.fourier import MARGIN, Cropping

Array = npt.NDArray[np.float64]

#: Up to this part of the sampling rate pixels show what is looked for.
_EDGE = 0.46
#: Images are kept in this much memory [bytes].
_MEMORY = 3 << 29


class Images(Protocol):
    """What a `TiltSeries` is for."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0: (h, w)."""


class SomeImages:
    """Some of the images of a series.

    Parameters
    ----------
    images : Images
        All of them.
    rows : (n,) int array
        Which.
    """

    def __init__(self, images: Images, rows: npt.NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""
        return self._images.size

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i of these, from 0."""
        return self._images.read(int(self._rows[i]))


class CroppedImages:
    """Reads images one by one, each with larger pixels if those still show what is looked for.

    Parameters
    ----------
    images : Images
        The series.
    pixel_size : float
        Of its images [Å].
    finest : float
        The finest period that is looked for [Å].
    factor : float
        Pixels of the images as they are stored in one of these.
    """

    def __init__(
        self, images: Images, pixel_size: float, finest: float, factor: float = 1.0
    ) -> None:
        self._images, self._finest = images, finest
        # Halves, quarters and eighths only: both axes then have the very same factor.
        eighths = math.floor(8 * _EDGE * finest / pixel_size)
        self._cropping = _cropping(images.size, Fraction(eighths, 8)) if eighths > 9 else None
        larger = 1.0 if self._cropping is None else self._cropping.factors[0]
        #: Pixels of the images as they are stored in one that is read.
        self.factor = factor * larger
        self.pixel_size = pixel_size * larger
        self.size = images.size if self._cropping is None else self._cropping.kept

    def __len__(self) -> int:
        return len(self._images)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0."""
        return self._cropped(self._images.read(i))

    def _cropped(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._cropping is None:
            return image
        transform = self._cropping.transform(image, Cpu())
        return np.asarray(self._cropping.image_of(transform, Cpu()), np.float32)

    def before(self, points: Array) -> Array:
        """Where points lie in images as they are stored [px]."""
        return points * self.factor

    def coarser(self, finest: float) -> CroppedImages:
        """The same with still larger pixels, for a coarser period [Å]."""
        return CroppedImages(self, self.pixel_size, finest, self.factor)

    def some(self, rows: npt.NDArray[np.int64]) -> CroppedImages:
        """Some of them."""
        return _SomeCropped(self, rows, self._finest)

    def part(self, i: int, tiles: Tiles) -> Array:  # noqa: ARG002
        """How much of each tile of image i shows the specimen, 0 to 1: (n_tiles,)."""
        return np.ones(len(tiles.corners))


class _SomeCropped(CroppedImages):
    """Some of these, as they are."""

    def __init__(self, images: CroppedImages, rows: npt.NDArray[np.int64], finest: float) -> None:
        super().__init__(SomeImages(images, rows), images.pixel_size, finest, images.factor)
        self._all, self._rows = images, rows

    def part(self, i: int, tiles: Tiles) -> Array:
        """As `CroppedImages.part`."""
        return self._all.part(int(self._rows[i]), tiles)


class KeptImages(CroppedImages):
    """Images that are read and cropped once and kept, at half of the precision.

    They have a standard deviation of 1, without what stands out far, such as beads, and what sees
    no electrons. Images of a series that is too large to be kept are read again.

    Parameters
    ----------
    images : Images
        The series, as it is stored.
    pixel_size : float
        Of its images [Å].
    finest : float
        The finest period that is looked for [Å].
    threads : int
        That read, at once.
    memory : int
        In which images are kept [bytes].
    """

    def __init__(
        self,
        images: Images,
        pixel_size: float,
        finest: float,
        threads: int,
        memory: int = _MEMORY,
    ) -> None:
        super().__init__(images, pixel_size, finest)
        #: Medians of the images that were read.
        self.levels = np.full(len(images), np.nan)
        self._left: dict[int, Left] = {}
        fitting = min(len(images), memory // (2 * math.prod(self.size)))
        with ThreadPoolExecutor(threads) as pool:
            self._kept = tuple(pool.map(self._prepared, range(fitting)))

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0."""
        half = self._kept[i] if i < len(self._kept) else self._prepared(i)
        return half.astype(np.float32)

    def part(self, i: int, tiles: Tiles) -> Array:
        """As `CroppedImages.part`, of an image that was read before."""
        return self._left[i].part(tiles)

    def _prepared(self, i: int) -> npt.NDArray[np.float16]:
        image = self._images.read(i)
        self.levels[i] = np.median(image[::4, ::4])
        image, self._left[i] = cleared(self._cropped(image), self.pixel_size)
        image = image - image.mean(dtype=np.float64).astype(np.float32)
        # No value is more deviations away than the root of the number of pixels: all can be kept.
        image /= np.float32(image.std(dtype=np.float64) or 1.0)
        return np.asarray(image, np.float16)


def _cropping(size: tuple[int, int], binning: Fraction) -> Cropping:
    pairs = [_lengths(n, binning) for n in size]
    return Cropping(size, (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]))


def _lengths(n: int, binning: Fraction) -> tuple[int, int]:
    """Padded and cropped length, of this very ratio; both are even and transform fast."""
    import scipy.fft

    unit = 2 * binning.denominator
    new = math.ceil(n * (1 + MARGIN) / binning / unit) * unit
    while scipy.fft.next_fast_len(new, real=True) != new:
        new += unit
    return int(new * binning), new

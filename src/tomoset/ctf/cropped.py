"""Images of a series without the frequencies at which no rings are seen."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.hand.trust import is_lit
from tomoset.images.device import Cpu
from tomoset.images.fourier import MARGIN, Cropping

Array = npt.NDArray[np.float64]

#: What stands out is seen at this resolution [Å], stands out from so many standard deviations, and
#: is no more than this part of an image.
_COARSE, _FAR, _MOST = 12.0, np.float32(5.0), 0.6
#: Parts of an image of so many of these resolutions see electrons or not.
_PARTS = 12
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
        return CroppedImages(SomeImages(self, rows), self.pixel_size, self._finest, self.factor)


class KeptImages(CroppedImages):
    """Images that are read and cropped once and kept, at half of the precision.

    They have a standard deviation of 1, and what stands out far from the rest, such as beads, is
    taken out. Images of a series that is too large to be kept are read again.

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
        fitting = min(len(images), memory // (2 * math.prod(self.size)))
        with ThreadPoolExecutor(threads) as pool:
            self._kept = tuple(pool.map(self._prepared, range(fitting)))

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0."""
        half = self._kept[i] if i < len(self._kept) else self._prepared(i)
        return half.astype(np.float32)

    def _prepared(self, i: int) -> npt.NDArray[np.float16]:
        image = self._images.read(i)
        self.levels[i] = np.median(image[::4, ::4])
        image = without_beads(self._cropped(image), self.pixel_size)
        image = image - image.mean(dtype=np.float64).astype(np.float32)
        # No value is more deviations away than the root of the number of pixels: all can be kept.
        image /= np.float32(image.std(dtype=np.float64) or 1.0)
        return np.asarray(image, np.float16)


def without_beads(image: npt.NDArray[np.float32], pixel_size: float) -> npt.NDArray[np.float32]:
    """An image in which what stands out far has the level of the rest: beads, ice crystals.

    These have a spectrum of their own, with rings that are not those of the CTF.

    Parameters
    ----------
    image : (h, w) array
        As it was taken.
    pixel_size : float
        [Å].
    """
    from scipy.ndimage import gaussian_filter

    # What is blurred so much needs no pixels that are finer than half of the blur.
    bins = max(1, int(_COARSE / pixel_size / 2))
    width = _COARSE / pixel_size / bins
    coarse = _binned(image, bins)
    lit = _lit(coarse, width)
    middle = np.float32(np.median(coarse[lit]))
    off = np.abs(gaussian_filter(coarse - middle, width, mode="constant", truncate=3.0))
    far = off > _FAR * np.float32(1.4826 * np.median(off[lit]))
    if not far.any() or far[lit].mean() > _MOST:
        return image
    near = gaussian_filter(far.astype(np.float32), width, mode="constant", truncate=3.0)
    # All of what stands out, and about as much around it as is blurred here.
    share = np.clip(8 * near, 0, 1)
    for axis, n in enumerate(image.shape):
        share = _spread(share, bins, n, axis)
    return np.asarray(image + share * (middle - image), np.float32)


def _lit(coarse: npt.NDArray[np.float32], width: float) -> npt.NDArray[np.bool_]:
    """Pixels of an image that lie in parts which see electrons: others have no noise.

    Parameters
    ----------
    coarse : (h, w) array
        The image.
    width : float
        Of what beads are blurred by [px].
    """
    # Neighbours differ by noise, whatever the level; and medians do not see beads.
    noise = np.abs(np.diff(coarse, axis=1, append=coarse[:, -1:]))
    rows, columns = (np.arange(n) // max(1, int(_PARTS * width)) for n in coarse.shape)
    medians = np.empty((rows[-1] + 1, columns[-1] + 1))
    for y, x in np.ndindex(medians.shape):
        medians[y, x] = np.median(noise[rows == y][:, columns == x])
    return is_lit(medians**2)[np.ix_(rows, columns)]


def _binned(image: npt.NDArray[np.float32], bins: int) -> npt.NDArray[np.float32]:
    """Means of so many pixels along both axes; what is left over at the end is left out."""
    height, width = (n // bins for n in image.shape)
    rows = image[: height * bins, : width * bins].reshape(height, bins, -1).sum(axis=1)
    return np.asarray(rows.reshape(height, width, bins).sum(axis=2) / np.float32(bins**2))


def _spread(
    values: npt.NDArray[np.float32], bins: int, n: int, axis: int
) -> npt.NDArray[np.float32]:
    """From means of pixels to n pixels along an axis, linear between."""
    last = values.shape[axis] - 1
    at = np.clip((np.arange(n, dtype=np.float32) - (bins - 1) / 2) / bins, 0, last)
    below = np.minimum(at.astype(np.int64), max(last - 1, 0))
    part = np.expand_dims((at - below).astype(np.float32), 1 - axis)
    lower, upper = values.take(below, axis), values.take(np.minimum(below + 1, last), axis)
    return np.asarray(lower + part * (upper - lower), np.float32)


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

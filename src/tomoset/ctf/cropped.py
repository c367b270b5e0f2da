"""Images of a series without the frequencies at which no rings are seen."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Cpu
from tomoset.images.fourier import MARGIN, Cropping

Array = npt.NDArray[np.float64]

#: What stands out is seen at this resolution [Å], stands out from so many standard deviations, and
#: is no more than this part of an image.
_COARSE, _FAR, _MOST = 12.0, np.float32(5.0), 0.6


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
    edge : float
        Up to this part of the sampling rate pixels show it.
    """

    def __init__(
        self, images: Images, pixel_size: float, finest: float, edge: float = 0.46
    ) -> None:
        self._images = images
        #: Medians of the images that were read.
        self.levels = np.full(len(images), np.nan)
        # Halves, quarters and eighths only: both axes then have the very same factor.
        eighths = math.floor(8 * edge * finest / pixel_size)
        self._cropping = _cropping(images.size, Fraction(eighths, 8)) if eighths > 9 else None
        factor = 1.0 if self._cropping is None else self._cropping.factors[0]
        #: Pixels of the images in one that is read.
        self.factor = factor
        self.pixel_size = pixel_size * factor
        self.size = images.size if self._cropping is None else self._cropping.kept

    def __len__(self) -> int:
        return len(self._images)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0; what stands out far from the rest, such as beads, is taken out."""
        image = self._images.read(i)
        self.levels[i] = np.median(image[::4, ::4])
        if self._cropping is not None:
            transform = self._cropping.transform(image, Cpu())
            image = np.asarray(self._cropping.image_of(transform, Cpu()), np.float32)
        return without_beads(image, self.pixel_size)

    def before(self, points: Array) -> Array:
        """Where points lie in images as they are stored [px]."""
        return points * self.factor


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

    width = _COARSE / pixel_size
    middle = np.float32(np.median(image))
    off = np.abs(gaussian_filter(image - middle, width, mode="constant", truncate=3.0))
    far = off > _FAR * np.float32(1.4826 * np.median(off))
    if not far.any() or far.mean() > _MOST:
        return image
    near = gaussian_filter(far.astype(np.float32), width, mode="constant", truncate=3.0)
    # All of what stands out, and about as much around it as is blurred here.
    share = np.clip(8 * near, 0, 1)
    return np.asarray(image + share * (middle - image), np.float32)


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

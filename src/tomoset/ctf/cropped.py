"""Images of a series without the frequencies at which no rings are seen."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Cpu
from tomoset.images.fourier import MARGIN, Cropping
from tomoset.images.tilt_series import TiltSeries

Array = npt.NDArray[np.float64]


class CroppedImages:
    """Reads images one by one, each with larger pixels if those still show what is looked for.

    Parameters
    ----------
    images : TiltSeries
        The series.
    pixel_size : float
        Of its images [Å].
    finest : float
        The finest period that is looked for [Å].
    edge : float
        Up to this part of the sampling rate pixels show it.
    """

    def __init__(
        self, images: TiltSeries, pixel_size: float, finest: float, edge: float = 0.46
    ) -> None:
        self._images = images
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
        """Image i, from 0."""
        image = self._images.read(i)
        if self._cropping is None:
            return image
        transform = self._cropping.transform(image, Cpu())
        return np.asarray(self._cropping.image_of(transform, Cpu()), np.float32)

    def before(self, points: Array) -> Array:
        """Where points lie in images as they are stored [px]."""
        return points * self.factor


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

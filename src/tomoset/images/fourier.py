"""Fewer, larger pixels: images cropped in Fourier space, without aliasing or interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.ctf import frequencies
from tomoset.images.device import Device, DeviceArray

Array = npt.NDArray[np.float64]

#: How much of its own size an image is padded by, so that what a filter spreads over one edge does
#: not come in again at the other.
MARGIN = 1 / 16

#: Lengths that are tried for one that transforms fast before and after cropping.
_TRIED = 6


@dataclass(frozen=True)
class Cropping:
    """How an image becomes one of fewer pixels that shows the same field.

    It is padded to a size that transforms fast, its transform is cropped (what is finer than the
    new pixels is left out, everything else stays), filtered by whoever wants to, and turned back.
    The centre of pixel 0 stays the centre of pixel 0, as in RELION: a point at p comes to
    p / factors.

    Parameters
    ----------
    size : (int, int)
        Width and height of the image [px].
    padded : (int, int)
        The same with its padding.
    cropped : (int, int)
        Of the padded image, in new pixels; not more than `padded`.

    Raises
    ------
    ModelError
        If more pixels are asked for than there are.

    Examples
    --------
    >>> c = Cropping.of((3838, 3710), 4)
    >>> c.padded, c.cropped, c.factors, c.kept
    ((4096, 4000), (1024, 1000), (4.0, 4.0), (960, 928))
    """

    size: tuple[int, int]
    padded: tuple[int, int]
    cropped: tuple[int, int]

    def __post_init__(self) -> None:
        for size, padded, cropped in zip(self.size, self.padded, self.cropped, strict=True):
            if not 1 <= size <= padded or not 1 <= cropped <= padded:
                raise ModelError(
                    f"images of {self.size} px cannot be padded to {self.padded} and cropped to "
                    f"{self.cropped}"
                )

    @classmethod
    def of(cls, size: tuple[int, int], binning: float) -> Cropping:
        """The way to pixels that are larger by `binning`, which is 1 or more."""
        if not binning >= 1:
            raise ModelError(f"the binning must be 1 or more, not {binning:g}")
        pairs = [_lengths(n, binning) for n in size]
        return cls(size, (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]))

    @property
    def factors(self) -> tuple[float, float]:
        """Old pixels in a new one, along x and y: the binning, but for whole numbers."""
        return self.padded[0] / self.cropped[0], self.padded[1] / self.cropped[1]

    @property
    def kept(self) -> tuple[int, int]:
        """Width and height of the image without its padding [new px]."""
        return tuple(math.ceil(n / f) for n, f in zip(self.size, self.factors, strict=True))  # type: ignore[return-value]

    def transform(self, image: npt.ArrayLike, device: Device) -> DeviceArray:
        """The cropped transform of an image less its mean.

        Parameters
        ----------
        image : (y, x) array
            Real, of any type.
        device : Device
            Where it is computed.

        Returns
        -------
        (height, width // 2 + 1) complex64 array
            Of `cropped` size, on the device; scaled so that `image_of` keeps grey values.
        """
        xp, fft = device.xp, device.fft
        rows = fft.rfft(self._pad(xp.asarray(image), xp), axis=-1)[:, : self.cropped[0] // 2 + 1]
        plane = fft.fft(rows, axis=-2)
        height, old_height = self.cropped[1], self.padded[1]
        upper, lower = (height + 1) // 2, height // 2
        kept = xp.concatenate([plane[:upper], plane[old_height - lower :]], axis=0)
        # The Nyquist frequency alone says only half of a wave.
        if self.cropped[0] % 2 == 0 and self.cropped[0] < self.padded[0]:
            kept[:, -1] = 0
        if height % 2 == 0 and height < old_height:
            kept[upper] = 0
        kept *= np.float32(1 / math.prod(self.factors))
        return kept

    def _pad(self, image: DeviceArray, xp: Any) -> DeviceArray:
        """The image less its mean, continued so that it closes to a torus without a step."""
        (width, height), (full_width, full_height) = self.size, self.padded
        padded = xp.empty((full_height, full_width), dtype=np.float32)
        inner = padded[:height, :width]
        inner[...] = image
        inner -= inner.mean(dtype=np.float64).astype(np.float32)
        if full_width > width:
            right, left = padded[:height, width - 1, None], padded[:height, :1]
            way = xp.asarray(_ramp(full_width - width))
            padded[:height, width:] = right + (left - right) * way
        if full_height > height:
            top, bottom = padded[height - 1], padded[0]
            way = xp.asarray(_ramp(full_height - height))[:, None]
            padded[height:] = top + (bottom - top) * way
        return padded

    def image_of(
        self, transform: DeviceArray, device: Device, finer: tuple[int, int] = (1, 1)
    ) -> DeviceArray:
        """The image of a (filtered) transform, its padding left out.

        Parameters
        ----------
        transform : (height, width // 2 + 1) array
            As `transform` gives it.
        device : Device
            Where it is computed.
        finer : (int, int)
            So many times more pixels along x and y: the same image, sampled more densely. A
            point at p is at p x finer.

        Returns
        -------
        (y, x) float32 array
        """
        xp, (width, height), (along_x, along_y) = device.xp, self.cropped, finer
        if along_x > 1:  # half of a wave cannot be sampled more finely
            transform = transform[:, : width // 2]
        if along_y > 1:
            upper = height // 2
            middle = xp.zeros(((along_y - 1) * height + 1, transform.shape[1]), transform.dtype)
            transform = xp.concatenate([transform[:upper], middle, transform[upper + 1 :]])
        # Not irfft2: on a GPU it is undefined where the conjugates of column 0 do not match.
        rows = device.fft.ifft(transform, axis=-2)
        image = device.fft.irfft(rows, n=along_x * width, axis=-1)
        kept_width, kept_height = self.kept[0] * along_x, self.kept[1] * along_y
        image = image[:kept_height, :kept_width].astype(np.float32, copy=False)
        image *= np.float32(along_x * along_y)
        return image

    def frequencies(self, pixel_size: float) -> tuple[Array, Array]:
        """Spatial frequencies x and y of a transform [1/Å], to be broadcast: (1, w) and (h, 1).

        Parameters
        ----------
        pixel_size : float
            Of the image as stored [Å].
        """
        x, y = (frequencies(self.cropped, pixel_size * factor) for factor in self.factors)
        return x[0], y[1]


def _ramp(n: int) -> npt.NDArray[np.float32]:
    """From 0 to 1 in n steps between."""
    return (np.arange(1, n + 1) / (n + 1)).astype(np.float32)


def _lengths(n: int, binning: float) -> tuple[int, int]:
    """Padded and cropped length; the second is even, and both transform fast if that can be."""
    import scipy.fft

    pairs: list[tuple[int, int]] = []
    new = math.ceil(n * (1 + MARGIN) / binning)
    while len(pairs) < _TRIED:
        new = scipy.fft.next_fast_len(new, real=True)
        old = round(new * binning)
        if new % 2 == 0 and old >= n:
            pairs.append((old, new))
        new += 1
    return next((pair for pair in pairs if _is_smooth(pair[0])), pairs[0])


def _is_smooth(n: int) -> bool:
    """Whether a transform of this length is fast: prime factors up to 13."""
    for prime in (2, 3, 5, 7, 11, 13):
        while n % prime == 0:
            n //= prime
    return n == 1

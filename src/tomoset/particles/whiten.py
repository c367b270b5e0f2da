"""Tilt images whose noise is white and of variance 1, so that sums of squares are likelihoods."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tomoset.images.ctf import Array
from tomoset.images.device import Cpu
from tomoset.images.fourier import Cropping

Image = npt.NDArray[np.float32]

#: Edge of the tiles whose spectra are those of the image [px], and how many there are at most
#: along each axis.
_TILE, _MOST = 256, 4
#: Rings of a tile below this say nothing: its mean was taken off, and edges are faded out.
_FIRST = 2
#: Rings with less of the strongest's power than this hold nothing but rounding.
_LEAST = 1e-9
#: Of a normal distribution, the median distance from 0 in standard deviations.
_MEDIAN = 0.67449
#: Every so many-th row and column tell the deviation of an image.
_STRIDE = 3
_ONES = np.ones(1)


@dataclass(frozen=True, eq=False)
class WhiteImage:
    """An image with white noise, and the filter that made it so.

    Parameters
    ----------
    image : (y, x) float32 array
        Of the size of the image as stored; noise has variance 1.
    frequency : (n,) array
        Ascending [1/px].
    gain : (n,) array
        What waves of that frequency were multiplied with. All 0: the image shows nothing.
    """

    image: Image
    frequency: Array
    gain: Array

    def gain_at(self, frequency: Array) -> Array:
        """The filter at any frequency [1/px]."""
        return np.asarray(np.interp(frequency, self.frequency, self.gain))


class Whitener:
    """Makes images of one size white, each by its own spectrum.

    Parameters
    ----------
    size : (int, int)
        Width and height [px].
    whiten : bool
        If not, images are only scaled to variance 1.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal((200, 240))
    >>> white = Whitener((240, 200))(100 + 5 * np.cumsum(noise, axis=1))
    >>> bool(abs(white.image.std() - 1) < 0.05)
    True
    """

    def __init__(self, size: tuple[int, int], *, whiten: bool = True) -> None:
        self._whiten, self._device = whiten, Cpu()
        self._cropping = Cropping.of(size, 1.0)
        x, y = self._cropping.frequencies(1.0)
        self._finest = max(self._cropping.cropped)
        self._rings = (np.hypot(x, y) * self._finest + 0.5).astype(np.intp)
        self._frequency = np.arange(int(self._rings.max()) + 1) / self._finest

    def __call__(self, image: npt.ArrayLike) -> WhiteImage:
        """The white image of one as stored (y, x). Several threads may call at once."""
        pixels = np.asarray(image, np.float32)
        gain = _gain(tile_spectrum(pixels), self._frequency) if self._whiten else _ONES
        gain = np.broadcast_to(gain, self._frequency.shape)
        transform = self._cropping.transform(pixels, self._device)
        if self._whiten:
            transform *= gain.astype(np.float32)[self._rings]
        white = self._cropping.image_of(transform, self._device)
        # By the median: beads and bars are not noise, and would make it look stronger.
        level = float(np.median(np.abs(white[::_STRIDE, ::_STRIDE]))) / _MEDIAN
        scale = 1 / level if level > 0 else 0.0
        white = white * np.float32(scale)
        return WhiteImage(white, self._frequency, gain * scale)


def tile_spectrum(image: Image) -> tuple[Array, Array]:
    """Power of an image's waves: what is typical of its tiles.

    Tiles fade out towards their edges, so that these add nothing of their own; the margin by
    which the whole image is padded would. The median of all tiles is the power: beads and the
    edge of the carbon are in few of them.

    Parameters
    ----------
    image : (y, x) float32 array
        As stored.

    Returns
    -------
    frequency, power : (n,) arrays
        [1/px], ascending; the variance of a pixel for white noise.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(5, 3, (512, 512))
    >>> frequency, power = tile_spectrum(noise.astype(np.float32))
    >>> bool((abs(power[20:120] / 9 - 1) < 0.2).all())
    True
    """
    import scipy.fft

    edge = min(_TILE, *image.shape) // 2 * 2
    low_y, low_x = (
        np.linspace(0, n - edge, min(-(-n // edge), _MOST)).astype(int) for n in image.shape
    )
    tiles = np.stack([image[y : y + edge, x : x + edge] for y in low_y for x in low_x])
    window, rings, counts = _tile(edge)
    tiles -= (tiles * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    tiles *= window
    transform = scipy.fft.rfft2(tiles, overwrite_x=True)
    power = transform.real**2 + transform.imag**2
    typical = np.median([np.bincount(rings, one.ravel()) for one in power], axis=0) / counts
    return np.arange(len(counts)) / edge, typical / float(np.square(window).sum())


@lru_cache(4)
def _tile(edge: int) -> tuple[Image, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """How a tile fades out, the ring of each of its waves, and how many each ring has."""
    fade = np.sin(np.pi * (np.arange(edge) + 0.5) / edge) ** 2
    x, y = np.fft.rfftfreq(edge, 1 / edge), np.fft.fftfreq(edge, 1 / edge)[:, None]
    rings = np.rint(np.hypot(x, y)).astype(np.intp).ravel()
    return (fade[:, None] * fade).astype(np.float32), rings, np.bincount(rings)


def _gain(spectrum: tuple[Array, Array], frequency: Array) -> Array:
    """The filter that makes the spectrum 1, and next to nothing of the coarsest waves."""
    known, power = spectrum
    strongest = float(power[_FIRST:].max())
    if not strongest > 0:
        return np.zeros(len(frequency))
    levels = np.log(np.maximum(power[_FIRST:], _LEAST * strongest))
    levels = np.convolve(np.pad(levels, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    power = np.exp(np.pad(levels, (_FIRST, 0), mode="edge"))
    coarse = np.minimum(frequency / known[_FIRST], 1.0)
    return np.asarray(coarse**2 / np.sqrt(np.interp(frequency, known, power)))

"""Thon rings of every place of an image, taken back to where they would be in focus.

The power spectrum of an image of thin matter is a background times 1 - a cos(2 gamma). Its rings
are an echo: what a point scatters to k and to -k comes back defocused by twice the defocus. So an
image is multiplied, as a whole, by exp(i gamma) of a defocus that is roughly right. In the complex
image J that results, both halves of an echo lie at one place, and in the transform of a small
tile the product J(k) J(-k) is

    -a/2 exp(-2i (gamma - gamma0)) background,

whose phase turns slowly: with pi lambda k^2 times twice what the defocus is off by. Tiles may
therefore be much smaller than the way that fine rings are scattered, and a few bands of k^2 say
all there is to know. The background itself turns with exp(2i gamma0), and is lost in the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.ctf import Ctf, frequencies, wavelength

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]

#: The coarsest rings that are looked at, and the finest [1/Å].
_COARSEST, _FINEST = 1 / 60, 1 / 4
#: The largest frequency as a part of the sampling rate: beyond, images are interpolated.
_EDGE = 0.46
#: Independent values of a spectrum under a Hann window, of all its values.
_HANN = 1 / 2.25
#: Tiles across an image at most, and the smallest edge [Å, px].
_ACROSS, _EDGE_ANGSTROM, _EDGE_PX = 8, 300.0, 64
#: How far phases may turn within a band [rad].
_TURN = 0.9
#: Pixels of tiles that are transformed at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Bands:
    """Bands of k², equally wide.

    Parameters
    ----------
    low, high : float
        Of k² [1/Å²].
    number : int
        How many.
    """

    low: float
    high: float
    number: int

    @classmethod
    def of(cls, pixel_size: float, voltage: float, reach: float) -> Bands:
        """Bands within which rings do not turn too far.

        Parameters
        ----------
        pixel_size : float
            [Å].
        voltage : float
            [kV].
        reach : float
            How far defocus may be from where it was taken back to [Å].
        """
        high = min(_EDGE / pixel_size, _FINEST) ** 2
        low = min(_COARSEST**2, high / 4)
        turns = 2 * math.pi * wavelength(voltage) * (high - low) * reach
        return cls(low, high, max(12, math.ceil(turns / _TURN)))

    @property
    def middles(self) -> Array:
        """Of the bands: (number,) [1/Å²]."""
        return self.low + (np.arange(self.number) + 0.5) * (self.high - self.low) / self.number

    def of_each(self, squared: Array) -> npt.NDArray[np.int64]:
        """The band of each k² [1/Å²]; -1 or the number where it lies outside."""
        place = (squared - self.low) / (self.high - self.low) * self.number
        return np.clip(np.floor(place), -1, self.number).astype(np.int64)


@dataclass(frozen=True)
class Tiles:
    """Square tiles that overlap by half.

    Parameters
    ----------
    edge : int
        Of a tile [px].
    corners : (n, 2) int array
        x, y of each one's first pixel.
    """

    edge: int
    corners: npt.NDArray[np.int64]

    @classmethod
    def of(cls, size: tuple[int, int], pixel_size: float) -> Tiles:
        """Tiles of an image.

        Raises
        ------
        ModelError
            If the image is too small for more than one tile along an edge.
        """
        import scipy.fft

        wanted = max(max(size) / _ACROSS, _EDGE_ANGSTROM / pixel_size, _EDGE_PX)
        edge = scipy.fft.next_fast_len(int(min(wanted, min(size) / 2)))
        edge -= edge % 2
        if edge < _EDGE_PX // 2:
            raise ModelError(
                f"images of {size[0]} x {size[1]} px are too small to see how defocus changes "
                f"across them; at least {_EDGE_PX} px are needed"
            )
        x, y = (
            np.linspace(0, n - edge, max(2, round((n - edge) / (edge / 2)) + 1)).astype(np.int64)
            for n in size
        )
        return cls(edge, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))

    @property
    def middles(self) -> Array:
        """x, y of each one's middle, in 0-based pixels: (n, 2)."""
        return np.asarray(self.corners + (self.edge - 1) / 2, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Echoes:
    """What the tiles of one image say of rings, band by band.

    Parameters
    ----------
    values : (n_tiles, n_bands) complex64 array
        Mean of J(k) J(-k) over the background, less what noise has of it: a mean of 0 and a
        variance of 1 / number where there are no rings.
    still : (n_bands,) complex64 array
        What noise has of it: along this an error of the background shows.
    number : (n_bands,) float64 array
        Independent values that each is the mean of.
    excess : (n_tiles,) array
        Variance of single values against what noise would have; 1 or a little more.
    """

    values: Complex
    still: Complex
    number: Array
    excess: Array


class Listener:
    """Takes the rings of images of one size back to focus, and averages them.

    Parameters
    ----------
    size : (int, int)
        Width and height of the images [px].
    pixel_size : float
        [Å].
    bands : Bands
        Over which it averages.
    tiles : Tiles
        In which.
    """

    def __init__(
        self, size: tuple[int, int], pixel_size: float, bands: Bands, tiles: Tiles
    ) -> None:
        import scipy.fft

        self.size, self.pixel_size, self.bands, self.tiles = size, pixel_size, bands, tiles
        self._padded = tuple(scipy.fft.next_fast_len(n, real=True) for n in size)
        ramp = np.sin(np.pi * (np.arange(tiles.edge) + 0.5) / tiles.edge) ** 2
        window = np.outer(ramp, ramp)
        self._window = (window / np.sqrt((window**2).sum())).astype(np.float32)
        double = np.zeros((2 * tiles.edge,) * 2, np.float32)
        double[: tiles.edge, : tiles.edge] = self._window
        spectrum = scipy.fft.rfft2(double)
        self._overlap = scipy.fft.irfft2(np.abs(spectrum) ** 2, s=double.shape)
        self._half_plane()

    def _half_plane(self) -> None:
        """Where each coefficient of a tile, and its mirror image, belongs."""
        edge = self.tiles.edge
        k = np.fft.fftfreq(edge, self.pixel_size)
        x, y = k[None, :], k[:, None]
        # Neither the axes, where edges and stripes are, nor their conjugates.
        upper = (x > 0) & (y != 0) & (np.abs(x) < k.max()) & (np.abs(y) < k.max())
        band = self.bands.of_each(x**2 + y**2)
        used = upper & (band >= 0) & (band < self.bands.number)
        rows, columns = np.nonzero(used)
        self._at = rows * edge + columns
        self._mirrored = (-rows) % edge * edge + (-columns) % edge
        self._band = band[used]
        self._count = np.bincount(self._band, minlength=self.bands.number)

    def echoes(self, image: npt.NDArray[np.floating], ctf: Ctf) -> Echoes:
        """What one image says.

        Parameters
        ----------
        image : (h, w) array
            As it was taken.
        ctf : Ctf
            Whose rings are taken back: the image's, roughly.
        """
        taken_back = self._taken_back(image, ctf)
        shape = len(self.tiles.corners), self.bands.number
        sums = np.zeros(shape, np.complex64)
        power, squares = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        step = max(1, _AT_ONCE // self.tiles.edge**2)
        for first in range(0, len(sums), step):
            part = slice(first, first + step)
            self._add(taken_back, part, (sums[part], power[part], squares[part]))
        return self._normalized(sums, power, squares, self._of_noise(ctf))

    def _add(self, image: Complex, part: slice, out: tuple[Complex, Floats, Floats]) -> None:
        """Sums over the spectra of some of the tiles."""
        import scipy.fft

        from tomoset.hand import _kernels

        edge, corners = self.tiles.edge, self.tiles.corners[part]
        stack = np.empty((len(corners), edge, edge), np.complex64)
        for tile, (x, y) in zip(stack, corners, strict=True):
            np.multiply(image[y : y + edge, x : x + edge], self._window, out=tile)
        spectra = scipy.fft.fft2(stack, overwrite_x=True).reshape(len(corners), -1)
        _kernels.echo_sums(spectra, (self._at, self._mirrored, self._band), out)

    def _taken_back(self, image: npt.NDArray[np.floating], ctf: Ctf) -> Complex:
        """The image multiplied by exp(i gamma) in Fourier space, both halves of it."""
        import scipy.fft

        width, height = self.size
        flat = np.zeros((self._padded[1], self._padded[0]), np.float32)
        flat[:height, :width] = image - image.mean()
        spectrum = scipy.fft.rfft2(flat)
        phase = ctf.phase(*frequencies(self._padded, self.pixel_size)).astype(np.float32)
        # cos and sin parts are real images, for gamma(k) = gamma(-k).
        even = scipy.fft.irfft2(spectrum * np.cos(phase), s=flat.shape)
        odd = scipy.fft.irfft2(spectrum * np.sin(phase), s=flat.shape)
        return np.asarray((even + 1j * odd)[:height, :width], np.complex64)

    def _of_noise(self, ctf: Ctf) -> Complex:
        """Mean of J(k) J(-k) for white noise of power 1: exp(2i gamma) as the window smears it.

        Over the grid of a tile, as far as neighbours within a window echo each other.
        """
        import scipy.fft

        edge = self.tiles.edge
        grid = 4 * edge
        phase = 2 * ctf.phase(*frequencies((grid, grid), self.pixel_size))
        parts = [scipy.fft.irfft2(f(phase), s=(grid, grid)) for f in (np.cos, np.sin)]
        near = np.r_[0:edge, 1 - edge : 0]  # and a lag of -edge, which no window has
        near = np.insert(near, edge, grid // 2)
        echo = (parts[0] + 1j * parts[1])[np.ix_(near, near)] * self._overlap
        return np.asarray(scipy.fft.fft2(echo)[::2, ::2].ravel()[self._at], np.complex64)

    def _normalized(self, sums: Complex, power: Floats, squares: Floats, still: Complex) -> Echoes:
        """Means over a background that is smooth in k."""
        count = np.maximum(self._count, 1)
        background = self._background(power / count)
        parts = [np.bincount(self._band, p, len(count)) for p in (still.real, still.imag)]
        mean = (parts[0] + 1j * parts[1]) / count
        excess = (squares / background**2).sum(axis=1) - (np.abs(still) ** 2).sum()
        return Echoes(
            values=(sums / count / background - mean).astype(np.complex64),
            still=mean.astype(np.complex64),
            number=np.asarray(self._count * _HANN, np.float64),
            excess=np.maximum(excess / self._count.sum(), 1.0),
        )

    def _background(self, power: Array) -> Array:
        """A polynomial in k through the logarithm of each tile's power."""
        k = np.sqrt(self.bands.middles)
        place = 2 * (k - k.min()) / np.ptp(k) - 1
        basis = np.polynomial.legendre.legvander(place, 3)
        weight = np.sqrt(self._count)
        inverse = np.linalg.pinv(basis * weight[:, None])
        floor = max(float(power.max()) * 1e-12, 1e-30)
        logarithm = np.log(np.maximum(power, floor))
        return np.asarray(np.exp((logarithm * weight) @ inverse.T @ basis.T))

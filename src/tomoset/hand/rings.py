"""CTF-corrected power spectra of small tiles of an image.

The power spectrum of an image of thin matter is a background times 1 - a cos(2 gamma): its Thon
rings come from the correlation between the waves at k and at -k, which defocus displaces from each
other in the image. So the whole image is first CTF-corrected at a rough defocus: multiplied by
exp(i gamma0) in Fourier space. In the complex image J that results, the waves at k and at -k lie at
one position, and in the transform of a small tile the product J(k) J(-k) is

    -a/2 exp(-2i (gamma - gamma0)) background,

whose phase changes slowly with k^2: by 2 pi lambda k^2 times the error of the defocus. Tiles may
therefore be much smaller than the displacement of fine waves by defocus, and a few bands of k^2
hold all information. The background itself has the phase 2 gamma0, and averages out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.hand.trust import trust
from tomoset.images.ctf import Ctf, frequencies, wavelength

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]

#: The coarsest rings that are used, and the finest [1/Å].
_COARSEST, _FINEST = 1 / 60, 1 / 4
#: The largest frequency as a part of the sampling rate: beyond, images are interpolated.
EDGE = 0.46
#: Independent values of a spectrum under a Hann window, of all its values.
HANN = 1 / 2.25
#: Tiles across an image at most, and the smallest edge [Å, px].
_ACROSS, _EDGE_ANGSTROM, _EDGE_PX = 8, 300.0, 64
#: By how much phases may change within a band [rad].
_PHASE_STEP = 0.9
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
        """Bands within which phases do not change too much.

        Parameters
        ----------
        pixel_size : float
            [Å].
        voltage : float
            [kV].
        reach : float
            How far defocus may be from that of the correction [Å].
        """
        high = min(EDGE / pixel_size, _FINEST) ** 2
        low = min(_COARSEST**2, high / 4)
        phase = 2 * math.pi * wavelength(voltage) * (high - low) * reach
        return cls(low, high, max(12, math.ceil(phase / _PHASE_STEP)))

    @property
    def middles(self) -> Array:
        """Of the bands: (number,) [1/Å²]."""
        return self.low + (np.arange(self.number) + 0.5) * (self.high - self.low) / self.number

    def of_each(self, squared: Array) -> npt.NDArray[np.int64]:
        """The band of each k² [1/Å²]; -1 or the number where it lies outside."""
        position = (squared - self.low) / (self.high - self.low) * self.number
        return np.clip(np.floor(position), -1, self.number).astype(np.int64)


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
        wanted = max(max(size) / _ACROSS, _EDGE_ANGSTROM / pixel_size, _EDGE_PX)
        tiles = cls.of_edge(size, int(min(wanted, min(size) / 2)))
        if tiles.edge < _EDGE_PX // 2:
            raise ModelError(
                f"images of {size[0]} x {size[1]} px are too small to see how defocus changes "
                f"across them; at least {_EDGE_PX} px are needed"
            )
        return tiles

    @classmethod
    def of_edge(cls, size: tuple[int, int], edge: int) -> Tiles:
        """Tiles of about this edge, which is even and transforms fast."""
        import scipy.fft

        edge = scipy.fft.next_fast_len(edge)
        edge -= edge % 2
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
class CorrectedSpectra:
    """CTF-corrected power spectra of the tiles of one image, band by band.

    Parameters
    ----------
    values : (n_tiles, n_bands) complex64 array
        Mean of J(k) J(-k) over the background, less that of noise: a mean of 0 and a variance of
        1 / number where there are no rings.
    of_noise : (n_bands,) complex64 array
        That of noise: the direction of an error of the background.
    number : (n_bands,) float64 array
        Independent values that each is the mean of.
    weight : (n_tiles,) array
        1, or less where single values vary more than noise should, or nothing is seen.
    """

    values: Complex
    of_noise: Complex
    number: Array
    weight: Array

    def weighted(self, by: Array) -> CorrectedSpectra:
        """The same with tiles of other weights, which are multiplied by these."""
        return replace(self, weight=self.weight * by)


@dataclass(frozen=True, kw_only=True, eq=False)
class TileSums:
    """What the coefficients of the tiles of one image add up to, by tile, sector and band.

    Parameters
    ----------
    products : (n_tiles, n_sectors, n_bands) complex64 array
        Of J(k) J(-k).
    power, squares : (n_tiles, n_sectors, n_bands) float32 arrays
        Of |J|², and of |J(k) J(-k)|².
    count : (n_sectors, n_bands) array
        Coefficients that are added up.
    of_noise : (n_sectors, n_bands) complex128 array
        The products' mean for white noise of power 1.
    of_noise_square : (n_sectors, n_bands) complex128 array
        The mean of the square of that, single coefficient by single coefficient.
    noise_square : float
        Sum of the square of that over all coefficients.
    """

    products: Complex
    power: Floats
    squares: Floats
    count: Array
    of_noise: npt.NDArray[np.complex128]
    of_noise_square: npt.NDArray[np.complex128]
    noise_square: float


class TileSpectra:
    """Makes the CTF-corrected power spectra of images of one size.

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
    sectors : int
        Of directions, from -90 to 90 degrees, which are kept apart.
    """

    def __init__(
        self,
        size: tuple[int, int],
        pixel_size: float,
        bands: Bands,
        tiles: Tiles,
        sectors: int = 1,
    ) -> None:
        import scipy.fft

        self.sectors = sectors
        self._noise: tuple[Ctf, Complex] | None = None
        self._turned: tuple[Ctf, tuple[Floats, Floats]] | None = None
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
        sector = np.floor((np.arctan2(y, x)[used] / np.pi + 0.5) * self.sectors).astype(np.int64)
        self._cell = np.clip(sector, 0, self.sectors - 1) * self.bands.number + band[used]
        self._count = self._summed(np.ones(len(rows)))

    def corrected(self, image: npt.NDArray[np.floating], ctf: Ctf) -> CorrectedSpectra:
        """The spectra of one image.

        Parameters
        ----------
        image : (h, w) array
            As it was taken.
        ctf : Ctf
            By which it is corrected: the image's, roughly.
        """
        return self.normalized(self.sums(image, ctf))

    @property
    def count(self) -> Array:
        """Coefficients in each sector and band: (n_sectors, n_bands)."""
        return self._count

    def power(self, image: npt.NDArray[np.floating]) -> Array:
        """Sums of the power spectra of an image as it is: (n_tiles, n_bands)."""
        import scipy.fft

        from tomoset.hand import _kernels

        flat = np.asarray(image - image.mean(), np.float32)
        power = np.zeros((len(self.tiles.corners), self.sectors * self.bands.number), np.float32)
        row, column = np.divmod(self._at, self.tiles.edge)
        at = row * (self.tiles.edge // 2 + 1) + column
        for part in self._parts():
            spectra = scipy.fft.rfft2(self._windowed(flat, part), overwrite_x=True)
            _kernels.power_sums(spectra.reshape(len(spectra), -1), at, self._cell, power[part])
        apart = len(power), self.sectors, self.bands.number
        return np.asarray(power.reshape(apart).sum(axis=1), np.float64)

    def sums(self, image: npt.NDArray[np.floating], ctf: Ctf) -> TileSums:
        """The same before it is divided by a background, sector by sector."""
        products, power, squares = self._added(self._ctf_corrected(image, ctf))
        if self._noise is None or self._noise[0] != ctf:
            self._noise = ctf, self._smeared(ctf, 2)
        noise = self._noise[1]
        return TileSums(
            products=products,
            power=power,
            squares=squares,
            count=self._count,
            of_noise=self._mean(noise),
            of_noise_square=self._mean(noise**2),
            noise_square=float((np.abs(noise) ** 2).sum()),
        )

    def _added(self, image: Complex) -> tuple[Complex, Floats, Floats]:
        """Sums over the spectra of all tiles: (n_tiles, n_sectors, n_bands)."""
        shape = len(self.tiles.corners), self.sectors * self.bands.number
        sums = np.zeros(shape, np.complex64)
        power, squares = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for part in self._parts():
            self._add(image, part, (sums[part], power[part], squares[part]))
        apart = len(sums), self.sectors, self.bands.number
        return sums.reshape(apart), power.reshape(apart), squares.reshape(apart)

    def smeared(self, ctf: Ctf, times: int) -> npt.NDArray[np.complex128]:
        """Mean over each sector and band of exp(i times gamma), as far as tiles show it.

        Waves that lie so far from each other in the image that no tile has both, show none of it.

        Returns
        -------
        (n_sectors, n_bands) complex128 array
        """
        return self._mean(self._smeared(ctf, times))

    def _mean(self, values: Complex) -> npt.NDArray[np.complex128]:
        whole = self._summed(values.real) + 1j * self._summed(values.imag)
        return np.asarray(whole / np.maximum(self._count, 1), np.complex128)

    def _summed(self, values: npt.NDArray[np.floating]) -> Array:
        """Sums over the coefficients of each sector and band."""
        cells = np.bincount(self._cell, values, self.sectors * self.bands.number)
        return np.asarray(cells, np.float64).reshape(self.sectors, self.bands.number)

    def _parts(self) -> list[slice]:
        """Tiles that are transformed at once."""
        step = max(1, _AT_ONCE // self.tiles.edge**2)
        return [slice(i, i + step) for i in range(0, len(self.tiles.corners), step)]

    def _windowed(self, image: npt.NDArray[Any], part: slice) -> npt.NDArray[Any]:
        """Some of the tiles: (n, edge, edge)."""
        edge, corners = self.tiles.edge, self.tiles.corners[part]
        stack = np.empty((len(corners), edge, edge), image.dtype)
        for tile, (x, y) in zip(stack, corners, strict=True):
            np.multiply(image[y : y + edge, x : x + edge], self._window, out=tile)
        return stack

    def _add(self, image: Complex, part: slice, out: tuple[Complex, Floats, Floats]) -> None:
        """Sums over the spectra of some of the tiles."""
        import scipy.fft

        from tomoset.hand import _kernels

        spectra = scipy.fft.fft2(self._windowed(image, part), overwrite_x=True)
        spectra = spectra.reshape(len(spectra), -1)
        _kernels.tile_sums(spectra, (self._at, self._mirrored, self._cell), out)

    def _ctf_corrected(self, image: npt.NDArray[np.floating], ctf: Ctf) -> Complex:
        """The image multiplied by exp(i gamma) in Fourier space, both halves of it."""
        import scipy.fft

        width, height = self.size
        flat = np.zeros((self._padded[1], self._padded[0]), np.float32)
        flat[:height, :width] = image - image.mean()
        spectrum = scipy.fft.rfft2(flat)
        cosine, sine = self._phases(ctf)
        # cos and sin parts are real images, for gamma(k) = gamma(-k).
        even = scipy.fft.irfft2(spectrum * cosine, s=flat.shape, overwrite_x=True)
        odd = scipy.fft.irfft2(spectrum * sine, s=flat.shape, overwrite_x=True)
        return np.asarray((even + 1j * odd)[:height, :width], np.complex64)

    def _phases(self, ctf: Ctf) -> tuple[Floats, Floats]:
        """cos and sin of the phase of a CTF, the same of all images that have it."""
        if self._turned is None or self._turned[0] != ctf:
            phase = ctf.phase(*frequencies(self._padded, self.pixel_size)).astype(np.float32)
            self._turned = ctf, (np.cos(phase), np.sin(phase))
        return self._turned[1]

    def _smeared(self, ctf: Ctf, times: int) -> Complex:
        """exp(i times gamma) as the window smears it; of 2, J(k) J(-k) for noise of power 1.

        Over the grid of a tile, as far as neighbours within a window are correlated.
        """
        import scipy.fft

        edge = self.tiles.edge
        grid = 4 * edge
        phase = times * ctf.phase(*frequencies((grid, grid), self.pixel_size))
        parts = [scipy.fft.irfft2(f(phase), s=(grid, grid)) for f in (np.cos, np.sin)]
        near = np.r_[0:edge, 1 - edge : 0]  # and a lag of -edge, which no window has
        near = np.insert(near, edge, grid // 2)
        correlation = (parts[0] + 1j * parts[1])[np.ix_(near, near)] * self._overlap
        return np.asarray(scipy.fft.fft2(correlation)[::2, ::2].ravel()[self._at], np.complex64)

    def normalized(self, sums: TileSums) -> CorrectedSpectra:
        """Means over all directions, over a background that is smooth in k."""
        whole = sums.count.sum(axis=0)
        count = np.maximum(whole, 1)
        background = self.background(sums.power.sum(axis=1) / count, whole)
        mean = (sums.of_noise * sums.count).sum(axis=0) / count
        squares = sums.squares.sum(axis=1)
        excess = (squares / background**2).sum(axis=1) - sums.noise_square
        return CorrectedSpectra(
            values=(sums.products.sum(axis=1) / count / background - mean).astype(np.complex64),
            of_noise=mean.astype(np.complex64),
            number=np.asarray(whole * HANN, np.float64),
            weight=trust(np.maximum(excess / whole.sum(), 1.0), background),
        )

    def background(self, power: Array, count: Array) -> Array:
        """A polynomial in k through the logarithm of each tile's power.

        Parameters
        ----------
        power : (n_tiles, n_bands) array
            Mean of each band.
        count : (n_bands,) array
            Coefficients in each.
        """
        k = np.sqrt(self.bands.middles)
        position = 2 * (k - k.min()) / np.ptp(k) - 1
        basis = np.polynomial.legendre.legvander(position, 3)
        weight = np.sqrt(count)
        inverse = np.linalg.pinv(basis * weight[:, None])
        floor = max(float(power.max()) * 1e-12, 1e-30)
        logarithm = np.log(np.maximum(power, floor))
        return np.asarray(np.exp((logarithm * weight) @ inverse.T @ basis.T))

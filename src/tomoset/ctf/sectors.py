"""Spectra of small tiles of an image, focused back, by band and direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.hand.rings import HANN, TileSpectra, TileSums
from tomoset.hand.trust import trust
from tomoset.images.ctf import Ctf, wavelength

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex64]

#: Directions that are kept apart.
SECTORS = 8
#: Orders of polynomials in k: by which the background of an image differs from what its tiles show
#: by themselves, and may still be off; and that of a direction from that of all.
ORDER, _DIRECTION = 6, 2
#: From one band to the next the phase may change by so much for a defocus that is off [rad]; but so
#: many bands are kept.
_PHASE, _BANDS = 0.8, 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Sectors:
    """What the tiles of one image show, against the rings of some defocus.

    Parameters
    ----------
    values : (n_tiles, n_sectors, n_bands) complex64 array
        Means of J(k) J(-k) over the background, turned by the phase of those rings: -a/2 where
        the image has them.
    number : (n_sectors, n_bands) array
        Independent values that each is the mean of.
    weight : (n_tiles,) array
        1, or less where single values vary more than noise should.
    noise : (n_tiles, n_sectors, n_bands) complex64 array
        Means of J(k) J(-k) of the background by itself, turned likewise: times a smooth function
        of k, an error of it.
    lopsided : (n_tiles, n_sectors, n_bands) complex64 array
        How much more values scatter along a direction than across it: variances of (1 + |l|) / 2
        and (1 - |l|) / 2 over `number`; twice that direction is the phase. Where defocus displaces
        waves by less than a tile, J(k) and J(-k) are nearly one value.
    mirrored : (n_tiles, n_sectors, n_bands) complex64 array
        What is left of the mirrored wave of rings, turned so that it belongs to exp(-i psi) where
        rings are exp(i psi).
    k2 : (n_bands,) array
        Of the bands [1/Å²].
    defocus : (n_tiles, n_sectors) array
        Of those rings [Å].
    phase_shift : float
        Of those rings [rad].
    voltage : float
        [kV].
    """

    values: Complex
    number: Array
    weight: Array
    noise: Complex
    lopsided: Complex
    mirrored: Complex
    k2: Array
    defocus: Array
    phase_shift: float
    voltage: float

    @property
    def rate(self) -> Array:
        """Change of a phase with defocus: (n_bands,) [rad/Å]."""
        return 2 * math.pi * wavelength(self.voltage) * self.k2

    @property
    def blank(self) -> bool:
        """Whether nothing is there."""
        return not self.weight.any()

    def merged(self, defocus: Array, phase_shift: float, off: float) -> Sectors:
        """Fewer bands, against rings of a defocus that is nearer.

        Parameters
        ----------
        defocus : (n_tiles, n_sectors) array
            [Å].
        phase_shift : float
            [rad].
        off : float
            How far it may still be from that of the image [Å].
        """
        width = float(np.diff(self.rate).mean())
        join = max(1, min(int(_PHASE / (width * off)), len(self.k2) // _BANDS))
        first = np.arange(0, len(self.k2), join)
        number = np.add.reduceat(self.number, first, axis=1)
        whole = self.number.sum(axis=0) + 1e-9
        k2 = np.add.reduceat(self.k2 * whole, first) / np.add.reduceat(whole, first)
        psi = (defocus - self.defocus)[..., None] * self.rate
        psi += 2 * (phase_shift - self.phase_shift)
        back = np.exp(-1j * psi.astype(np.float32))
        share = self.number.astype(np.float32)

        def mean(values: Complex) -> Complex:
            sums = np.add.reduceat(values * share, first, axis=2)
            return (sums / np.maximum(number, 1e-9)).astype(np.complex64)

        return Sectors(
            values=mean(self.values * back),
            number=number,
            weight=self.weight,
            noise=mean(self.noise * back),
            lopsided=mean(self.lopsided * back * back),
            mirrored=mean(self.mirrored * back * back),
            k2=k2,
            defocus=defocus,
            phase_shift=phase_shift,
            voltage=self.voltage,
        )


def sectors_of(
    sums: TileSums, spectra: TileSpectra, ctf: Ctf, mirrored: npt.NDArray[np.complex128]
) -> Sectors:
    """What an image shows, of its sums over tiles.

    Parameters
    ----------
    sums : TileSums
        Of the image.
    spectra : TileSpectra
        That made them.
    ctf : Ctf
        By which it was corrected.
    mirrored : (n_sectors, n_bands) complex128 array
        As `TileSpectra.smeared` gives it, four times the phase.
    """
    tiles, n_sectors = sums.products.shape[:2]
    number = sums.count * HANN
    count = np.maximum(sums.count, 1)
    whole = sums.count.sum(axis=0)
    blank = not sums.power.any()
    background = spectra.background(sums.power.sum(axis=1) / np.maximum(whole, 1), whole)
    k2 = spectra.bands.middles
    # Tiles are too small to show more than a few terms; all of them together show more.
    shown = (sums.power.sum(axis=1) / background).mean(axis=0) / np.maximum(whole, 1)
    background = background * np.exp(_smooth(shown, whole, k2, ORDER))
    over = np.einsum("tsb,tb->sb", sums.power, 1 / background) / (count * tiles)
    ratio = [_smooth(own, n, k2, _DIRECTION) for own, n in zip(over, sums.count, strict=True)]
    each = (background[:, None, :] * np.exp(ratio)).astype(np.float32)
    if blank:
        each = np.ones_like(each)
    values = sums.products / count / each - sums.of_noise * (not blank)
    excess = (sums.squares / each**2).sum(axis=(1, 2)) - sums.noise_square
    excess = np.maximum(excess / sums.count.sum(), 1.0)
    return Sectors(
        values=values.astype(np.complex64),
        number=number,
        weight=np.zeros(tiles) if blank else trust(excess, background),
        noise=sums.of_noise.astype(np.complex64)[None],
        lopsided=sums.of_noise_square.astype(np.complex64)[None],
        mirrored=mirrored.astype(np.complex64)[None],
        k2=spectra.bands.middles,
        defocus=np.full((tiles, n_sectors), ctf.defocus_u),
        phase_shift=math.radians(ctf.phase_shift),
        voltage=ctf.voltage,
    )


def polynomials(k2: Array, order: int) -> Array:
    """Legendre polynomials in k: (n_bands, order + 1)."""
    k = np.sqrt(k2)
    return np.polynomial.legendre.legvander(2 * (k - k.min()) / np.ptp(k) - 1, order)


def _smooth(values: Array, count: Array, k2: Array, order: int) -> Array:
    """Logarithm of values, each the mean of so many, as a polynomial in k."""
    basis, root = polynomials(k2, order), np.sqrt(count)
    logarithm = np.log(np.maximum(values, 1e-3)) * root * (count > 0)
    found = np.linalg.lstsq(basis * root[:, None], logarithm, rcond=1e-6)[0]
    return np.asarray(np.clip(basis @ found, -3, 3))

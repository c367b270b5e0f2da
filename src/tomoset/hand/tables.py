"""From the corrected spectra of an image to tables: how likely each defocus is in each tile."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.hand.rings import Bands, CorrectedSpectra
from tomoset.images.ctf import wavelength

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

#: Amplitudes of rings that are tried, as a part of the background.
AMPLITUDES = (0.004, 0.01, 0.025, 0.06, 0.15, 0.4)
#: How rings may fade with k²: by exp(-fading) at the finest.
FADING = (0.3, 1.5, 4.0, 9.0)
#: From one defocus of a table to the next, the phase at the finest ring changes by so much [rad].
_STEP = 0.5
#: Sums of tiles that overlap by half vary more than if they were independent; measured on noise.
_SHARED = 1.3
#: Rings are expected within this of the defocus of the correction [Å].
_NEAR = 3000.0
#: Order of the polynomial in k² by which the background may be off.
_ORDER = 2


@dataclass(frozen=True, eq=False)
class Offsets:
    """Defoci, less that of the correction.

    Parameters
    ----------
    step : float
        Between neighbours [Å].
    reach : int
        Neighbours on each side that are tried.
    margin : int
        More of them, for tiles that lie higher or lower.
    """

    step: float
    reach: int
    margin: int

    @classmethod
    def of(cls, bands: Bands, voltage: float, reach: float, margin: float) -> Offsets:
        """Offsets within a reach, and a margin [Å]."""
        step = _STEP / (2 * math.pi * wavelength(voltage) * bands.high)
        return cls(step, math.ceil(reach / step), math.ceil(margin / step) + 1)

    @property
    def values(self) -> Array:
        """Those that are tried [Å]."""
        return np.arange(-self.reach, self.reach + 1, dtype=np.float64) * self.step

    @property
    def all(self) -> Array:
        """Those of a table, with its margins [Å]."""
        n = self.reach + self.margin
        return np.arange(-n, n + 1, dtype=np.float64) * self.step


@dataclass(frozen=True, eq=False)
class Frame:
    """How corrected spectra are compared with rings.

    Parameters
    ----------
    bands : Bands
        Of the spectra.
    offsets : Offsets
        Of the rings.
    voltage : float
        [kV].
    """

    bands: Bands
    offsets: Offsets
    voltage: float

    def compare(self, corrected: CorrectedSpectra) -> tuple[Floats, Array]:
        """Sums of what each tile has in common with rings, and their variance for noise.

        Returns
        -------
        (n_envelopes, n_tiles, n_offsets) float32 array, (n_envelopes,) float64 array
        """
        root = np.sqrt(corrected.number)
        seen, of_noise = (
            _real(corrected.values * root),
            _background_errors(corrected.of_noise * root),
        )
        rings = _templates(self.bands, self.offsets.all, self.voltage, root)
        rings -= (rings @ of_noise) @ of_noise.T
        energy = 2 * (rings.astype(np.float64) ** 2).sum(axis=2).mean(axis=1)
        values = 2 * np.einsum("jx,edx->ejd", seen, rings, optimize=True)
        return np.ascontiguousarray(values, np.float32), energy


def noise_near(noise: Iterable[CorrectedSpectra], frame: Frame) -> Array:
    """How much more noise varies where rings are expected than at the middle of all offsets.

    Neighbours in a spectrum have noise in common, which adds up where phases stay.

    Parameters
    ----------
    noise : iterable of CorrectedSpectra
        Of images of nothing but white noise.
    frame : Frame
        As for the images.

    Returns
    -------
    (n_envelopes,) array
        1 or more.
    """
    near = np.abs(frame.offsets.all) < _NEAR
    square = np.mean([(frame.compare(e)[0] ** 2).mean(axis=1) for e in noise], axis=0)
    excess = square[:, near].mean(axis=1) / np.median(square, axis=1)
    return np.maximum(np.asarray(excess, np.float64), 1.0)


@dataclass(frozen=True, eq=False)
class Table:
    """Log-likelihoods of defocus in the tiles of one image.

    The logarithm of the likelihood that tile j has rings of amplitude a and offset d, against none,
    is a values[e, j, d] - a² energy[e] / 2, if they fade as in envelope e.

    Parameters
    ----------
    values : (n_envelopes, n_tiles, n_offsets) float32 array
        The margins of offsets included.
    energy : (n_envelopes,) array
        Of a tile of weight 1.
    weight : (n_tiles,) float32 array
        1, or less where single values vary more than noise should.
    """

    values: Floats
    energy: Array
    weight: Floats

    @classmethod
    def of(cls, corrected: CorrectedSpectra, frame: Frame, near: Array) -> Table:
        """The table of an image.

        Parameters
        ----------
        corrected : CorrectedSpectra
            Of its tiles.
        frame : Frame
            Bands, and offsets that are tried.
        near : (n_envelopes,) array
            As `noise_near` gives it.
        """
        values, energy = frame.compare(corrected)
        return cls.cooled(values, energy, corrected.weight.astype(np.float32), near)

    @classmethod
    def cooled(
        cls, values: Floats, energy: Array, weight: Floats, near: Array | float = 1.0
    ) -> Table:
        """A table as flat as noise shows that it should be.

        What noise is really like is seen in the middle of all offsets, most of which see no rings.

        Parameters
        ----------
        values, energy, weight : arrays
            As they would be if nothing but the noise of counting were there; `values` is changed.
        near : (n_envelopes,) array or float
            As `noise_near` gives it.
        """
        found = np.median(np.einsum("ejd,j->ed", values**2, weight), axis=1)
        hotter = np.maximum(found / (energy * weight.sum()), 0.1) * near * _SHARED
        values /= hotter[:, None, None]
        return cls(values, energy / hotter, weight)

    def take(self, tiles: npt.NDArray[np.int64]) -> Table:
        """The table of some of the tiles."""
        return Table(np.ascontiguousarray(self.values[:, tiles]), self.energy, self.weight[tiles])

    def sums(self, entries: Floats, n: int) -> Array:
        """Log-likelihoods of rings of the amplitudes, averaged over envelopes, of all tiles.

        Parameters
        ----------
        entries : (n_poses, n_tiles) float32 array
            Which entry of the table is the first offset, for each tile.
        n : int
            Offsets that are wanted.

        Returns
        -------
        (n_poses, n_amplitudes, n) float64 array
            For amplitudes that are half-normal, of deviations `AMPLITUDES`.
        """
        from tomoset.hand import _kernels

        sums = np.empty((len(self.energy), len(entries), n), np.float32)
        _kernels.shifted_sums(self.values, entries, self.weight, sums)
        out = np.empty((len(entries), len(AMPLITUDES), n))
        energy = self.energy * float(self.weight.sum())
        _kernels.marginal_over_envelopes(sums, energy, np.array(AMPLITUDES), out)
        return out


def _real(values: npt.NDArray[np.complexfloating]) -> Floats:
    """Real and imaginary parts, one after the other along the last axis."""
    return np.concatenate([values.real, values.imag], axis=-1).astype(np.float32)


def _background_errors(mean: npt.NDArray[np.complexfloating]) -> Floats:
    """Directions along which the background's errors show: orthonormal columns."""
    position = np.linspace(-1, 1, len(mean))
    basis = _real((np.polynomial.legendre.legvander(position, _ORDER) * mean[:, None]).T).T
    directions, length, _ = np.linalg.svd(basis, full_matrices=False)
    whole = np.sqrt(2) * np.linalg.norm(mean / np.maximum(np.abs(mean), 1e-9))
    return np.asarray(directions[:, length > 0.02 * whole], np.float32)


def _templates(bands: Bands, offsets: Array, voltage: float, root: Array) -> Floats:
    """What tiles should show: (n_envelopes, n_offsets, 2 n_bands), for an amplitude of 1."""
    k2 = bands.middles
    wave = np.exp(2j * np.pi * wavelength(voltage) * offsets[:, None] * k2)
    fading = np.exp(-np.outer(FADING, k2 / bands.high))
    return np.stack([_real(-0.5 * root * fade * wave) for fade in fading])

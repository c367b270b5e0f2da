"""How much of each image's power is the specimen's, from what neighbours have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.slab import Slab
from tomoset.align.images.windows import Seen

Array = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.complex64]

#: Rings in which powers are measured; the inner ones are narrower.
_RINGS, _NARROWER = 16, 0.8
#: Neighbours, in the order of their tilts, that are compared with an image.
_NEIGHBOURS = 3
#: The specimen's share is not taken to be more: windows cut off its edges differently.
_MOST = 0.9
#: Frequencies, along either axis, and tilts over which power is taken to be even; its least.
_NEAR, _TILTS, _LEAST = 5, 3, 0.05
#: How many frequencies' worth a ring of one image is taken to be like that of all.
_ALIKE = 20.0
#: Images whose medians are taken, to each side.
_SMOOTH = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitened:
    """Images of which each frequency has the power 1.

    Parameters
    ----------
    spectra : (W, n, K) complex64 array
        0 outside of the band.
    band : (n, K) bool array
        Where images say something.
    coherent : (n, K) array
        Root of the specimen's share in the power.
    power : (n, K) array
        By which spectra were divided.
    rings : (_RINGS,) array
        The share of the specimen in all images, by ring.
    """

    spectra: Spectra
    band: npt.NDArray[np.bool_]
    coherent: Array
    power: Array
    rings: Array


@dataclass(frozen=True, eq=False)
class _Rings:
    """Rings of the frequencies in images."""

    of: npt.NDArray[np.int64]
    middles: Array

    @classmethod
    def by(cls, frequencies: Array, highest: float) -> _Rings:
        edges = highest * np.linspace(0, 1, _RINGS + 1) ** (1 / _NARROWER)
        of = np.clip(np.searchsorted(edges, frequencies, side="right") - 1, 0, _RINGS - 1)
        return cls(of, (edges[1:] + edges[:-1]) / 2)

    def sums(self, i: int, band: npt.NDArray[np.bool_], values: Array) -> Array:
        return np.bincount(self.of[i][band], values, _RINGS).astype(np.float64)

    def spread(self, i: int, values: Array, known: npt.NDArray[np.bool_], at: Array) -> Array:
        """Values of rings at frequencies of image i."""
        return np.asarray(np.interp(at[i], self.middles[known], values[known]))


def whiten(
    seen: Seen, frequencies: Array, parallax: Array, slab: Slab, limits: tuple[float, float]
) -> Whitened:
    """Divide spectra by their power, and find the specimen's share in it.

    Parameters
    ----------
    seen : Seen
    frequencies : (n, K) array
        Of the waves in each image [cycles per px].
    parallax : (n, 2) array
        As `slab.Model`.
    slab : Slab
    limits : (float, float)
        Lowest and highest frequency in the images [cycles per px].
    """
    low, high = limits
    band = (frequencies >= low) & (frequencies <= high)
    rings = _Rings.by(frequencies, high)
    power = _power(seen, frequencies, rings, band)
    spectra = np.where(band, seen.spectra / np.sqrt(power).astype(np.float32), 0)
    spectra = spectra.astype(np.complex64)
    whole = Seen(windows=seen.windows, k=seen.k, spectra=spectra, used=seen.used)
    shares, all_alike = _shares(*_compared(whole, rings, band, parallax, slab))
    coherent = np.zeros_like(frequencies)
    for i, share in enumerate(shares):
        known = np.ones(_RINGS, bool)
        coherent[i] = rings.spread(i, share, known, frequencies)
    local = _local(whole, band)
    spectra /= np.sqrt(local)
    number = np.maximum(seen.used.sum(axis=0), 1)[:, None]
    strength = (local * seen.used[..., None]).sum(axis=0) / number
    noise = 1 - coherent**2
    coherent = np.sqrt(np.clip(1 - noise / np.maximum(strength, 1e-3), 1e-4, _MOST))
    return Whitened(spectra=spectra, band=band, coherent=coherent, power=power, rings=all_alike**2)


def _power(seen: Seen, frequencies: Array, rings: _Rings, band: npt.NDArray[np.bool_]) -> Array:
    power = np.ones_like(frequencies)
    for i in range(len(frequencies)):
        windows = np.flatnonzero(seen.used[:, i])
        if not len(windows) or not band[i].any():
            continue
        found = (np.abs(seen.spectra[windows, i]) ** 2).mean(axis=0)
        number = rings.sums(i, band[i], np.ones(int(band[i].sum())))
        total = rings.sums(i, band[i], found[band[i]])
        known = (number > 0) & (total > 0)
        if known.any():
            level = np.log(total[known] / number[known])
            power[i] = np.exp(np.interp(frequencies[i], rings.middles[known], level))
    return power


def _local(seen: Seen, band: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Power against that of the ring, about each frequency and tilt of each window: (W, n, K).

    What is seen edge-on is strong in one direction, in few tilts and in one window.
    """
    import scipy.ndimage

    size = seen.windows.size
    at = np.rint(seen.k * size).astype(np.int64)
    reach = int(np.abs(at).max()) + 1
    row, column = at[:, 1] + reach, at[:, 0]
    shape = (len(band), 2 * reach + 1, reach + 1)
    number = np.zeros(shape, np.float32)
    number[:, row, column] = band
    box = (_TILTS, _NEAR, _NEAR)
    shown = scipy.ndimage.uniform_filter(number, box, mode="constant")
    local = np.ones(seen.spectra.shape, np.float32)
    for w, spectra in enumerate(seen.spectra):
        power = np.zeros(shape, np.float32)
        power[:, row, column] = np.abs(spectra) ** 2
        smooth = scipy.ndimage.uniform_filter(power, box, mode="constant")
        found = smooth[:, row, column] / np.maximum(shown[:, row, column], 1e-6)
        local[w] = np.where(band, np.maximum(found, _LEAST), 1)
    return local


def _compared(
    seen: Seen, rings: _Rings, band: npt.NDArray[np.bool_], parallax: Array, slab: Slab
) -> tuple[Array, Array]:
    """Products of neighbours by ring, weighted by what they should have in common, and weights."""
    n = len(band)
    products, weights = np.zeros((n, n, _RINGS)), np.zeros((n, n, _RINGS))
    for i in range(n):
        for j in range(i + 1, min(n, i + 1 + _NEIGHBOURS)):
            windows = np.flatnonzero(seen.used[:, i] & seen.used[:, j])
            both = band[i] & band[j]
            if not len(windows) or not both.any():
                continue
            expected = slab.coherence(seen.k[both] @ (parallax[i] - parallax[j]))
            one, other = seen.spectra[windows, i][:, both], seen.spectra[windows, j][:, both]
            common = (one * other.conj()).real.sum(axis=0)
            products[i, j] = rings.sums(i, both, common * expected)
            weights[i, j] = rings.sums(i, both, expected**2) * len(windows)
    return products + products.transpose(1, 0, 2), weights + weights.transpose(1, 0, 2)


def _shares(products: Array, weights: Array) -> tuple[Array, Array]:
    """Roots of the specimen's share: (n, rings) of each image, (rings,) of all.

    For every ring, products of i and j are c_i c_j times their weight: least squares, image by
    image in turns.
    """
    total, number = products.sum(axis=(0, 1)), weights.sum(axis=(0, 1))
    alike = np.sqrt(np.clip(total / np.maximum(number, 1e-9), 1e-4, _MOST))
    c = np.tile(alike, (len(products), 1))
    for _ in range(30):
        up = np.einsum("ijr,jr->ir", products, c) + _ALIKE * alike**3
        down = np.einsum("ijr,jr->ir", weights, c * c) + _ALIKE * alike**2
        c = 0.5 * c + 0.5 * np.clip(up / down, 0.01, np.sqrt(_MOST))
    near = [c[max(0, i - _SMOOTH) : i + _SMOOTH + 1] for i in range(len(c))]
    return np.array([np.median(part, axis=0) for part in near]), alike

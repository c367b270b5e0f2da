"""Spectra of equal power, and how much of it is the specimen's: what neighbours have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.slab import MOST_HERE, Slab
from tomoset.align.images.windows import Seen

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Spectra = npt.NDArray[np.complex64]

#: Rings in which powers are measured; the inner ones are narrower.
_RINGS, _NARROWER = 16, 0.8
#: Neighbours, in the order of their tilts, that are compared with an image.
_NEIGHBOURS = 3
#: Frequencies, along either axis, and tilts over which power is taken to be even; its least.
_NEAR, _TILTS, _LEAST = 5, 3, 0.05
#: How many frequencies' worth a ring of one image is taken to be like that of all.
_ALIKE = 20.0
#: The specimen's share in an image is no more: windows cut off its edges differently.
_MOST = 0.9
#: Images whose medians are taken, to each side.
_SMOOTH = 2
#: Windows have the specimen's share at steps of this factor, from 1/8 to 4 of the usual; before it
#: is seen it is taken to be known to about a half.
_STEP, _LEVELS, _USUAL = 2.0, (-3, 2), 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitened:
    """Images of which each frequency has the power 1.

    Parameters
    ----------
    k : (K, 2) array
        Frequencies on the plane [cycles per px].
    frequencies : (n, K) array
        The same waves in each image.
    spectra : (W, n, K) complex64 array
        0 outside of the band.
    band : (n, K) bool array
        Where images say something.
    power : (n, K) array
        By which spectra were divided, but for what is of a window alone.
    strength : (n, K) array
        Power of all windows together, against that of the ring.
    alike : Alike
        What neighbours have in common.
    independent : float
        Share of the frequencies of a window that are independent.
    """

    k: Array
    frequencies: Array
    spectra: Spectra
    band: Bools
    power: Array
    strength: Array
    alike: Alike
    independent: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Alike:
    """Pairs of neighbours in tilt, (P,) each, and what they have in common.

    `everywhere` (P, K) are products of their spectra, summed over windows, before what is of a
    window alone is divided out; `within` (W, P, K) those of each window, after it. They are 0
    outside of `both` bands (P, K), and where an image does not show the window (`shown`: (W, P)).
    """

    one: Ints
    other: Ints
    both: Bools
    shown: Bools
    everywhere: Image
    within: Image

    @classmethod
    def of(cls, spectra: Spectra, local: Image, used: Bools, band: Bools) -> Alike:
        n = len(band)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, min(n, i + 1 + _NEIGHBOURS))]
        one, other = np.array(pairs, np.int64).reshape(-1, 2).T
        both, shown = band[one] & band[other], used[:, one] & used[:, other]
        everywhere = np.zeros(both.shape, np.float32)
        within = np.zeros((len(used), *both.shape), np.float32)
        for w, of_window in enumerate(spectra):
            product = (of_window[one] * of_window[other].conj()).real
            product *= both & shown[w][:, None]
            everywhere += product
            within[w] = product / np.sqrt(local[w, one] * local[w, other])
        return cls(
            one=one, other=other, both=both, shown=shown, everywhere=everywhere, within=within
        )

    def expected(self, k: Array, parallax: Array, slab: Slab) -> Image:
        """What a slab has in common at each frequency: (P, K)."""
        depths = (parallax[self.one] - parallax[self.other]) @ k.T
        return np.asarray(slab.coherence(depths) * self.both, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shares:
    """How much of the power of whitened images is the specimen's.

    Parameters
    ----------
    coherent : (n, K) array
        Root of its share, but for that of the window.
    level : (W,) array
        By how much the share of a window is larger.
    """

    coherent: Array
    level: Array


@dataclass(frozen=True, eq=False)
class _Rings:
    """Rings of the frequencies in images."""

    of: Ints
    middles: Array

    @classmethod
    def by(cls, frequencies: Array, highest: float) -> _Rings:
        edges = highest * np.linspace(0, 1, _RINGS + 1) ** (1 / _NARROWER)
        of = np.clip(np.searchsorted(edges, frequencies, side="right") - 1, 0, _RINGS - 1)
        return cls(of, (edges[1:] + edges[:-1]) / 2)

    def sums(self, i: int, values: Array) -> Array:
        return np.bincount(self.of[i], values, _RINGS).astype(np.float64)


def whiten(seen: Seen, frequencies: Array, limits: tuple[float, float]) -> Whitened:
    """Divide spectra by their power.

    Parameters
    ----------
    seen : Seen
    frequencies : (n, K) array
        Of the waves in each image [cycles per px].
    limits : (float, float)
        Lowest and highest frequency in the images [cycles per px].
    """
    low, high = limits
    band = (frequencies >= low) & (frequencies <= high)
    rings = _Rings.by(frequencies, high)
    power = _power(seen, frequencies, rings, band)
    spectra = np.where(band, seen.spectra / np.sqrt(power).astype(np.float32), 0)
    spectra = spectra.astype(np.complex64)
    local = _local(seen, spectra, band)
    alike = Alike.of(spectra, local, seen.used, band)
    spectra /= np.sqrt(local)
    return Whitened(
        k=seen.k,
        frequencies=frequencies,
        spectra=spectra,
        band=band,
        power=power,
        strength=_strength(local, seen, rings, band),
        alike=alike,
        independent=seen.windows.independent,
    )


def shares(
    white: Whitened, parallax: Array, slab: Slab, thicker: Array, *, highest: float
) -> Shares:
    """The specimen's share in the power of images.

    Parameters
    ----------
    white : Whitened
    parallax : (n, 2) array
        As `slab.Model`.
    slab : Slab
    thicker : (W,) array
        Factor by which the specimen is thicker in each window.
    highest : float
        Frequency in the images [cycles per px].
    """
    rings = _Rings.by(white.frequencies, highest)
    alike = white.alike
    by_ring = _by_ring(*_sums(alike, rings, alike.expected(white.k, parallax, slab)))
    each = zip(white.frequencies, by_ring, strict=True)
    coherent = np.array([np.interp(at, rings.middles, values) for at, values in each])
    most = np.maximum(coherent**2, MOST_HERE)
    coherent = np.sqrt(np.clip(1 - (1 - coherent**2) / white.strength, 1e-4, most))
    usual = _USUAL / white.independent
    both = (coherent[alike.one] * coherent[alike.other]).astype(np.float32)
    ratios = np.ones(len(thicker))
    for factor in np.unique(thicker):
        expected = alike.expected(white.k, parallax, slab.times(factor)) * both
        squares = (expected**2).sum(axis=1, dtype=np.float64)
        for w in np.flatnonzero(thicker == factor):
            found = float(np.vdot(alike.within[w], expected))
            ratios[w] = (found + usual) / (float(squares[alike.shown[w]].sum()) + usual)
    steps = np.rint(np.log(np.maximum(ratios, 1e-3)) / np.log(_STEP))
    return Shares(coherent=coherent, level=_STEP ** np.clip(steps, *_LEVELS))


def _power(seen: Seen, frequencies: Array, rings: _Rings, band: Bools) -> Array:
    power = np.ones_like(frequencies)
    for i in range(len(frequencies)):
        windows = np.flatnonzero(seen.used[:, i])
        if not len(windows) or not band[i].any():
            continue
        found = (np.abs(seen.spectra[windows, i]) ** 2).mean(axis=0)
        number, total = rings.sums(i, band[i]), rings.sums(i, found * band[i])
        known = (number > 0) & (total > 0)
        if known.any():
            level = np.log(total[known] / number[known])
            power[i] = np.exp(np.interp(frequencies[i], rings.middles[known], level))
    return power


def _local(seen: Seen, spectra: Spectra, band: Bools) -> Image:
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
    local = np.ones(spectra.shape, np.float32)
    for w, of_window in enumerate(spectra):
        power = np.zeros(shape, np.float32)
        power[:, row, column] = np.abs(of_window) ** 2
        smooth = scipy.ndimage.uniform_filter(power, box, mode="constant")
        found = smooth[:, row, column] / np.maximum(shown[:, row, column], 1e-6)
        local[w] = np.where(band, np.maximum(found, _LEAST), 1)
    return local


def _strength(local: Image, seen: Seen, rings: _Rings, band: Bools) -> Array:
    """Power of all windows against that of the ring: (n, K).

    Scatter that comes by chance is taken off (James and Stein's shrinkage): a share that is now too
    high and now too low would make images seem to say more than they do.
    """
    windows = np.maximum(seen.used.sum(axis=0), 1)[:, None]
    strength = np.asarray((local * seen.used[..., None]).sum(axis=0) / windows, np.float64)
    chance = 1 / (_TILTS * _NEAR**2 * seen.windows.independent * float(windows.mean()))
    for ring in range(_RINGS):
        at = band & (rings.of == ring)
        if at.any():
            kept = max(0.0, 1 - chance / max(float(strength[at].var()), 1e-12))
            strength[at] = 1 + kept * (strength[at] - 1)
    return np.maximum(strength, 1e-3)


def _sums(alike: Alike, rings: _Rings, expected: Image) -> tuple[Array, Array]:
    """Products of neighbours by ring, weighted by what they should have in common, and weights."""
    n = len(rings.of)
    products, weights = np.zeros((n, n, _RINGS)), np.zeros((n, n, _RINGS))
    number = alike.shown.sum(axis=0)
    for p, (i, j) in enumerate(zip(alike.one, alike.other, strict=True)):
        products[i, j] = products[j, i] = rings.sums(i, alike.everywhere[p] * expected[p])
        weights[i, j] = weights[j, i] = rings.sums(i, expected[p] ** 2) * number[p]
    return products, weights


def _by_ring(products: Array, weights: Array) -> Array:
    """Roots of the specimen's share: (n, rings).

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
    return np.array([np.median(part, axis=0) for part in near])

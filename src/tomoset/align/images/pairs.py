"""How far images lie apart: cross-correlations of all pairs of small tilt difference."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.plane import Plane, mapped

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Pairs are that near in tilt [deg], and have so many neighbours at most.
_NEAR, _NEIGHBOURS = 12.1, 5
#: Pairs must share this part of the plane.
_OVERLAP = 0.2
#: Waves longer than this part of the plane are left to the background [1/size].
_LOWEST = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Cross-correlations of pairs of images.

    Parameters
    ----------
    first, second : (p,) int arrays
        The images.
    scores : (p, h, w) float32 array
        ``scores[p, y, x]``: how many standard deviations of chance the correlation is above 0
        if the second image lies (x, y) px from the first, modulo the size; -inf where they would
        share too little.
    peaks : (p,) array
        The highest of each.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    scores: Image
    peaks: Array

    @property
    def evidence(self) -> float:
        """How much better than chance the highest peaks are: comparable between mappings."""
        return float((np.maximum(self.peaks, 0) ** 2).sum())


def near(tilts: Array, neighbours: int = _NEIGHBOURS) -> npt.NDArray[np.int64]:
    """Pairs of images that are near in tilt: (p, 2), the lower tilt first."""
    order = np.argsort(tilts, kind="stable")
    ranks = np.arange(len(order))
    first, second = (ranks[:, None] + np.arange(1, neighbours + 1) * step for step in (0, 1))
    there = second < len(order)
    i, j = order[first[there]], order[second[there]]
    close = (tilts[j] - tilts[i] <= _NEAR) | (second[there] == first[there] + 1)
    return np.stack([i[close], j[close]], axis=1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Filtered:
    """Spectra of mapped images, weighted by what is not noise, and of what they show."""

    spectra: npt.NDArray[np.complex64]
    shown: npt.NDArray[np.complex64]
    shape: tuple[int, int]


def correlate(
    images: Image,
    valid: Image,
    projections: Array,
    plane: Plane,
    pairs: npt.NDArray[np.int64],
    size: tuple[int, int],
    thickness: float,
    threads: int,
) -> Pairs:
    """Correlate pairs of images, mapped onto a plane.

    Parameters
    ----------
    images, valid : (n, h, w) float32 arrays
        As `plane.mapped`.
    projections : (n, 4, 4) array
        [px of these images]
    plane : Plane
    pairs : (p, 2) int array
    size : (int, int)
        Height and width of the part of the plane [px].
    thickness : float
        Of the specimen, roughly [px].
    threads : int
    """
    import scipy.fft

    flat, weights = mapped(images, valid, plane.maps(projections), size, threads)
    filtered = _filtered(flat, weights, threads)
    height, width = filtered.shape
    parallax, k = plane.parallax(projections), _frequencies(filtered.shape)
    scores = np.empty((len(pairs), height, width), np.float32)
    full = float(weights.sum(axis=(1, 2)).max())

    def one(p: int) -> None:
        i, j = pairs[p]
        product = filtered.spectra[j] * filtered.spectra[i].conj()
        product *= _alike(k, thickness * (parallax[j] - parallax[i]))
        correlation = scipy.fft.irfft2(product, s=filtered.shape)
        overlap = scipy.fft.irfft2(filtered.shown[j] * filtered.shown[i].conj(), s=filtered.shape)
        enough = overlap > _OVERLAP * full
        scaled = correlation / np.sqrt(np.maximum(overlap, 1.0))
        spread = 1.4826 * float(np.median(np.abs(scaled[enough]))) if enough.any() else 1.0
        scores[p] = np.where(enough, scaled / max(spread, 1e-12), -np.inf)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(pairs))))
    peaks = scores.max(axis=(1, 2)).astype(np.float64)
    return Pairs(first=pairs[:, 0], second=pairs[:, 1], scores=scores, peaks=peaks)


def _filtered(images: Image, weights: Image, threads: int) -> _Filtered:
    import scipy.fft

    shape = tuple(scipy.fft.next_fast_len(round(1.5 * n), real=True) for n in images.shape[1:])
    k = np.hypot(*_frequencies((shape[0], shape[1])))
    lowest = _LOWEST / min(images.shape[1:])
    rings = np.minimum((k * 2 * 32).astype(np.int64), 31)
    number = np.bincount(rings.ravel(), minlength=32)
    width = shape[1] // 2 + 1
    spectra = np.empty((len(images), shape[0], width), np.complex64)
    shown = np.empty_like(spectra)

    def one(i: int) -> None:
        total = float(weights[i].sum())
        mean = float((images[i] * weights[i]).sum()) / max(total, 1.0)
        spectrum = scipy.fft.rfft2((images[i] - mean) * weights[i], s=shape)
        power = np.bincount(rings.ravel(), (np.abs(spectrum) ** 2).ravel(), 32) / number
        noise = np.median(power[24:]) + 1e-30
        # What of it is not noise, by ring; a little is left everywhere, as in phase correlation.
        share = np.clip(1 - noise / np.maximum(power, 1e-30), 0.03, 1)
        # Whitened, and once more by the share: the matched filter.
        band = 1 / (1 + (lowest / np.maximum(k, 1e-9)) ** 4) * (k < 0.4)
        weight = band * (np.sqrt(share) / np.sqrt(power + 1e-30))[rings]
        spectra[i] = spectrum * weight
        shown[i] = scipy.fft.rfft2(weights[i] ** 1, s=shape)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(images))))
    return _Filtered(spectra, shown, (shape[0], shape[1]))


def _frequencies(shape: tuple[int, int]) -> tuple[Array, Array]:
    """x and y of a real transform, to be broadcast [cycles/px]."""
    x: Array = np.fft.rfftfreq(shape[1]).astype(np.float64)
    y: Array = np.fft.fftfreq(shape[0]).astype(np.float64)
    return x[None], y[:, None]


def _alike(k: tuple[Array, Array], apart: Array) -> Image:
    """What a slab leaves in common at each frequency: the bell that its sinc begins with.

    Parameters
    ----------
    k
        As `_frequencies`.
    apart : (2,) array
        Thickness times the difference of the parallax [px].
    """
    x = k[0] * apart[0] + k[1] * apart[1]
    return np.asarray(np.exp(-(np.pi**2 / 6) * x**2), dtype=np.float32)

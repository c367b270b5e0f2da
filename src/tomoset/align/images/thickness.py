"""How thick the specimen is: what makes its images most likely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from tomoset.align.images.coherent import shares, whiten
from tomoset.align.images.fit import Bettered
from tomoset.align.images.slab import Model, Slab, terms

Array = npt.NDArray[np.float64]

#: Thicknesses that are tried first [working px]; shares of matter on the surfaces.
_TRIED = 30.0 * 1.5 ** np.arange(8)
_SURFACES = (0.0, 0.15, 0.3, 0.5)
#: Steps of the logarithm by which it is then found more finely.
_FINER = (0.2, 0.05)
_LEAST, _MOST = 8.0, 2500.0
#: Long waves are of ice and dirt on the surfaces [cycles per working px]; frequencies that are
#: enough.
_LOWEST, _ENOUGH = 0.03, 2500


#: Windows: factors that are tried, by which they are thicker than usual; how much such a factor
#: scatters, in its logarithm, before it is seen; steps in which it is used; where it ends. Even
#: slabs look as different as `_CONTENT`, by what is in them.
_FACTORS = 2.0 ** np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_SCATTER, _STEP, _FARTHEST, _CONTENT = 0.35, 2**0.25, 6, 0.07


@dataclass(frozen=True, kw_only=True, eq=False)
class Thickness:
    """The slab that makes the images most likely.

    Parameters
    ----------
    slab : Slab
        As half of the windows have it thicker, half thinner.
    thicker : (W,) array
        Factor by which it is thicker in each window, in steps.
    error : float
        Standard deviation of the logarithm of its thickness.
    """

    slab: Slab
    thicker: Array
    error: float


class Search(Enum):
    """How a thickness is looked for: all over, near the one of before, or not as it is known."""

    FAR = 0
    NEAR = 1
    KNOWN = 2


class _Likelihood:
    """The log-likelihood of one alignment, by slab: the data stay what they are."""

    def __init__(self, bettered: Bettered, highest: float, threads: int) -> None:
        looked = bettered.looked
        k = np.hypot(*looked.model.k.T)
        kept = np.flatnonzero((k <= highest) & (k >= min(_LOWEST, highest / 3)))
        kept = kept[:: max(1, round(len(kept) / _ENOUGH))]
        spectra = bettered.spectra[..., kept] * np.sqrt(looked.whitened.power[:, kept])
        seen = replace(looked.seen, k=looked.seen.k[kept], spectra=spectra.astype(np.complex64))
        lowest = float(looked.frequencies[looked.model.band].min())
        self._white = whiten(seen, looked.frequencies[:, kept], (lowest, highest))
        self._model, self._used = looked.model, looked.seen.used
        self._highest, self._threads = highest, threads
        self._known: dict[tuple[Slab, tuple[float, ...]], Array] = {}

    def by_window(self, slab: Slab, thicker: Array) -> Array:
        """Of each window: (W,)."""
        key = (slab, tuple(thicker))
        if key not in self._known:
            white, parallax = self._white, self._model.parallax
            share = shares(white, parallax, slab, thicker, highest=self._highest)
            model = Model(
                k=white.k,
                parallax=parallax,
                coherent=share.coherent,
                level=share.level,
                thicker=thicker,
                band=white.band,
                slab=slab,
                independent=white.independent,
            )
            threads = self._threads
            found = terms(model, white.spectra, self._used, informed=False, threads=threads)
            self._known[key] = found.by_window
        return self._known[key]


def thickness(bettered: Bettered, highest: float, threads: int, search: Search) -> Thickness:
    """The thickness of the slab, by window, and the share of matter on its surfaces.

    Parameters
    ----------
    bettered : Bettered
        An alignment.
    highest : float
        Frequency up to which images are compared [cycles per px].
    threads : int
    search : Search
        How far from what it was.
    """
    likelihood = _Likelihood(bettered, highest, threads)
    slab, thicker = bettered.state.slab, bettered.state.thicker

    def value(of: Slab) -> float:
        return float(likelihood.by_window(of, thicker).sum())

    def best(*slabs: Slab) -> Slab:
        return max(slabs, key=value)

    def surfaces(of: Slab) -> Slab:
        others = (replace(of, surface=s) for s in _SURFACES)
        return best(of, *(o if search is Search.KNOWN else _as_deep(o, of) for o in others))

    if search is Search.FAR:
        slab = best(slab, *(replace(slab, thickness=float(t)) for t in _TRIED))
        slab = surfaces(slab)
    for step in _FINER[search.value :]:
        while (
            there := best(*_beside(slab, step))
        ) is not slab and _LEAST < there.thickness < _MOST:
            slab = there
    slab = surfaces(slab)
    if search is Search.KNOWN:
        return Thickness(slab=slab, thicker=thicker, error=0.0)
    before, here, after = map(value, _beside(slab, _FINER[-1]))
    curvature = max(2 * here - before - after, 1e-3)
    off = float(np.clip(0.5 * (after - before) / curvature, -1, 1))
    thicker, scatter = _by_windows(likelihood, slab, thicker)
    return Thickness(
        slab=slab.times(np.exp(off * _FINER[-1])),
        thicker=thicker,
        error=max(_FINER[-1] / float(np.sqrt(curvature)), scatter),
    )


def _by_windows(likelihood: _Likelihood, slab: Slab, thicker: Array) -> tuple[Array, float]:
    """Factors by which windows say one by one that it is thicker, in steps.

    An edge, a wedge, or matter at one surface is no even slab. And by how much they scatter: the
    standard deviation of the median of their logarithms.
    """
    tried = np.log(np.multiply.outer(_FACTORS, thicker))
    values = np.array([likelihood.by_window(slab, np.exp(at)) for at in tried])
    values -= 0.5 * (tried / _SCATTER) ** 2
    each = np.arange(len(thicker))
    top = np.clip(values.argmax(axis=0), 1, len(_FACTORS) - 2)
    before, here, after = (values[top + d, each] for d in (-1, 0, 1))
    curvature = np.maximum(2 * here - before - after, 1e-6)
    step = np.log(_FACTORS[1] / _FACTORS[0])
    found = tried[top, each] + step * np.clip(0.5 * (after - before) / curvature, -1, 1)
    known = np.maximum(curvature / step**2 - _SCATTER**-2, 0)
    by_chance = float(np.median(known / (known + _SCATTER**-2) ** 2))
    # A median of n normal numbers is known to 1.25 standard deviations over the root of n.
    return in_steps(found, by_chance), 1.25 * _scatter(found) / float(np.sqrt(len(found)))


def in_steps(found: Array, by_chance: float) -> Array:
    """Factors of which windows say these logarithms, against their median, in steps.

    By James and Stein's shrinkage: the part of their variance is taken off that comes by chance
    and as even slabs do not look even.
    """
    away = found - np.median(found)
    kept = max(0.0, 1 - (by_chance + _CONTENT**2) / max(_scatter(found) ** 2, 1e-12))
    steps = np.clip(np.rint(kept * away / np.log(_STEP)), -_FARTHEST, _FARTHEST)
    return np.asarray(_STEP**steps)


def _scatter(values: Array) -> float:
    """Standard deviation by the median, which a few far values do not change."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _as_deep(slab: Slab, other: Slab) -> Slab:
    """A slab so thick that its matter is spread over depth as widely as that of another.

    One is easily taken for the other; T² (1 + 2 surface) / 12 is the variance of depth.
    """
    scale = np.sqrt((1 + 2 * other.surface) / (1 + 2 * slab.surface))
    return replace(slab, thickness=float(other.thickness * scale))


def _beside(slab: Slab, step: float) -> tuple[Slab, Slab, Slab]:
    """A slab between a thinner and a thicker one."""
    thinner, thicker = slab.thickness * np.exp(-step), slab.thickness * np.exp(step)
    return replace(slab, thickness=float(thinner)), slab, replace(slab, thickness=float(thicker))

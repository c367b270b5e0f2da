"""How thick the specimen is: what makes its images most likely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from tomoset.align.images.coherent import whiten
from tomoset.align.images.fit import Bettered
from tomoset.align.images.slab import Model, Slab, terms

#: Thicknesses that are tried first [working px]; shares of matter on the surfaces.
_TRIED = 30.0 * 1.5 ** np.arange(8)
_SURFACES = (0.0, 0.15, 0.3, 0.5)
#: Steps of the logarithm by which it is then found more finely.
_FINER = (0.2, 0.05)
_LEAST, _MOST = 8.0, 2500.0
#: Long waves are of ice and dirt on the surfaces [cycles per working px]; frequencies that are
#: enough.
_LOWEST, _ENOUGH = 0.03, 2500


@dataclass(frozen=True, kw_only=True)
class Thickness:
    """The slab that makes the images most likely.

    Parameters
    ----------
    slab : Slab
    error : float
        Standard deviation of the logarithm of its thickness, by the likelihood's own account.
    """

    slab: Slab
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
        self._spectra = bettered.spectra[..., kept] * np.sqrt(looked.whitened.power[:, kept])
        self._seen = replace(
            looked.seen, k=looked.seen.k[kept], spectra=self._spectra.astype(np.complex64)
        )
        self._frequencies = looked.frequencies[:, kept]
        self._parallax = looked.model.parallax
        lowest = float(looked.frequencies[looked.model.band].min())
        self._limits = (lowest, highest)
        self._threads = threads
        self._known: dict[Slab, float] = {}

    def __call__(self, slab: Slab) -> float:
        if slab not in self._known:
            white = whiten(self._seen, self._frequencies, self._parallax, slab, self._limits)
            model = Model(
                k=self._seen.k,
                parallax=self._parallax,
                coherent=white.coherent,
                band=white.band,
                slab=slab,
                independent=self._seen.windows.independent,
            )
            used = self._seen.used
            found = terms(model, white.spectra, used, informed=False, threads=self._threads)
            self._known[slab] = found.log_likelihood
        return self._known[slab]


def thickness(bettered: Bettered, highest: float, threads: int, search: Search) -> Thickness:
    """The thickness of the slab, and the share of matter on its surfaces.

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
    value = _Likelihood(bettered, highest, threads)
    slab = bettered.state.slab

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
    before, here, after = map(value, _beside(slab, _FINER[-1]))
    curvature = max(2 * here - before - after, 1e-3)
    off = (
        0.0 if search is Search.KNOWN else float(np.clip(0.5 * (after - before) / curvature, -1, 1))
    )
    slab = replace(slab, thickness=slab.thickness * float(np.exp(off * _FINER[-1])))
    return Thickness(slab=slab, error=float(_FINER[-1] / np.sqrt(curvature)))


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

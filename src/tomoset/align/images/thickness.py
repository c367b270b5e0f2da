"""How thick the specimen is: what makes its images most likely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tomoset.align.images.coherent import whiten
from tomoset.align.images.fit import Bettered
from tomoset.align.images.slab import Model, Slab, terms

#: Thicknesses that are tried first, and shares of matter on the surfaces [working px].
_TRIED = 30.0 * 1.5 ** np.arange(8)
_SURFACES = (0.0, 0.15, 0.3, 0.5)
#: Steps of the logarithm by which it is then found more finely.
_FINER = (0.2, 0.1, 0.05)


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


class _Likelihood:
    """The log-likelihood of one alignment, by slab: the data stay what they are."""

    def __init__(self, bettered: Bettered, highest: float, threads: int) -> None:
        looked = bettered.looked
        kept = np.hypot(*looked.model.k.T) <= highest
        self._spectra = bettered.spectra[..., kept] * np.sqrt(looked.whitened.power[:, kept])
        self._seen = replace(
            looked.seen, k=looked.seen.k[kept], spectra=self._spectra.astype(np.complex64)
        )
        self._frequencies = looked.frequencies[:, kept]
        self._parallax = looked.model.parallax
        lowest = float(looked.frequencies[looked.model.band].min())
        self._limits = (lowest, highest)
        self._threads = threads
        self._known: dict[tuple[float, float], float] = {}

    def __call__(self, log_thickness: float, surface: float) -> float:
        key = round(log_thickness, 6), surface
        if key not in self._known:
            slab = Slab(thickness=float(np.exp(log_thickness)), surface=surface)
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
            self._known[key] = found.log_likelihood
        return self._known[key]


def thickness(bettered: Bettered, highest: float, threads: int) -> Thickness:
    """The thickness of the slab, and the share of matter on its surfaces.

    Parameters
    ----------
    bettered : Bettered
        An alignment.
    highest : float
        Frequency up to which images are compared [cycles per px].
    threads : int
    """
    value = _Likelihood(bettered, highest, threads)
    near = np.log(bettered.state.slab.thickness)
    surface = bettered.state.slab.surface
    best = max((*np.log(_TRIED), near), key=lambda x: value(x, surface))
    surface = max(_SURFACES, key=lambda s: value(best, s))
    for step in _FINER:
        while True:
            there = max((best - step, best, best + step), key=lambda x: value(x, surface))
            if there == best or not np.log(10) < there < np.log(2000):
                break
            best = there
        surface = max(_SURFACES, key=lambda s: value(best, s))
    step = _FINER[-1]
    before, here, after = (value(x, surface) for x in (best - step, best, best + step))
    curvature = max(2 * here - before - after, 1e-3)
    best += 0.5 * step * (after - before) / curvature
    slab = Slab(thickness=float(np.exp(best)), surface=surface)
    return Thickness(slab=slab, error=float(step / np.sqrt(curvature)))

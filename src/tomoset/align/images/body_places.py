"""Where else an image of a body might lie: along a needle, most places look alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.body_compare import Compared
from tomoset.align.images.body_start import shifted
from tomoset.align.images.body_views import SAMPLES, Cut, Working, shown_by_all

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Other places that are looked at, the best by what images show where they are.
_MOST = 3
#: A place where less than this part of an image's lines is seen does not count.
_OVERLAP = 0.5
#: Places are peaks, of so many lines and samples about them.
_PEAK = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Elsewhere:
    """The best other place of each image.

    Parameters
    ----------
    by : (n, 2) array
        How much further across and along the axis it lies [px].
    here, there : (n,) arrays
        Log-likelihood of each image by what the others predict, against that of images that have
        nothing to do with it: as it lies, and at the other place, of the rows seen there.
    support : (n,) array
        Root of twice the log-likelihood of each whole image as it lies: how far its correlation
        with what is predicted lies above chance [standard deviations].
    """

    by: Array
    here: Array
    there: Array
    support: Array

    @property
    def rival(self) -> Array:
        """Support of the other place: (n,)."""
        return np.asarray(self.support * np.sqrt(self.there / np.maximum(self.here, 1e-3)))

    @classmethod
    def of(
        cls, working: Working, projections: Array, cut: Cut, compared: Compared, near: float
    ) -> Elsewhere:
        """Look at images where they might lie, further away than `near` [px].

        What others predict of an image stays what it is; the image is cut out of the field again,
        as it shows at another place what was not seen here.
        """
        seen, weights = working.seen(projections)
        shown, middle = shown_by_all(weights), (weights.shape[1] - 1) / 2
        rows = compared.lines.places[0] + middle
        predicted, found = compared.predicted, None
        whole = _agreement(compared.lines.values, predicted, np.ones(predicted.shape[:2]))
        scores = _scores(cut, seen, weights, predicted)
        for by in _peaks(scores, compared.lines.step, near).swapaxes(0, 1):
            seen, weights = working.seen(shifted(projections, by))
            visible = np.array([np.interp(rows, np.arange(len(w)), w) for w in weights.max(axis=2)])
            there = _agreement(cut.faded(seen, shown).values, predicted, visible)
            there[visible.mean(axis=1) < _OVERLAP] = 0
            here = _agreement(compared.lines.values, predicted, visible)
            new = cls(by=by, here=here, there=there, support=np.sqrt(2 * whole))
            found = new if found is None else found._or(new)
        assert found is not None
        return found

    def _or(self, other: Elsewhere) -> Elsewhere:
        better = other.there - other.here > self.there - self.here
        return replace(
            self,
            by=np.where(better[:, None], other.by, self.by),
            here=np.where(better, other.here, self.here),
            there=np.where(better, other.there, self.there),
        )


def _agreement(lines: Image, predicted: Image, visible: Array) -> Array:
    """Log-likelihood of each image by its correlation with the prediction: (n,)."""
    expected = predicted * visible[:, :, None]
    power = np.sqrt((lines**2 * visible[:, :, None]).sum(axis=(1, 2), dtype=np.float64))
    power *= np.sqrt((expected**2).sum(axis=(1, 2), dtype=np.float64))
    both = (lines * expected).sum(axis=(1, 2), dtype=np.float64)
    coefficient = np.clip(both / np.maximum(power, 1e-30), 0, 0.999)
    independent = visible.sum(axis=1) * lines.shape[2] * (2 / SAMPLES) ** 2
    return np.asarray(-0.5 * independent * np.log1p(-(coefficient**2)))


def _scores(cut: Cut, seen: Image, weights: Image, predicted: Image) -> Image:
    """Correlations by how far images lie elsewhere: (n, 2 rows, 2 samples)."""
    import scipy.fft

    own = np.stack([shown_by_all(one[None]) for one in weights])
    lines = cut.faded(seen * own[:, :, None], np.ones(seen.shape[1], np.float32)).values
    size = (2 * predicted.shape[1], 2 * predicted.shape[2])
    products = scipy.fft.rfft2(lines, size) * scipy.fft.rfft2(predicted, size).conj()
    return np.asarray(scipy.fft.irfft2(products, size), dtype=np.float32)


def _peaks(scores: Image, step: tuple[float, float], near: float) -> Array:
    """Where images might lie, by what they show now: (n, _MOST, 2) [px]."""
    import scipy.ndimage

    n, rows, samples = scores.shape
    v, u = np.fft.fftfreq(rows, 1 / rows) * step[0], np.fft.fftfreq(samples, 1 / samples) * step[1]
    highest = scipy.ndimage.maximum_filter(scores, (1, _PEAK, _PEAK), mode="wrap")
    far = (np.hypot(v[:, None], u) > near) & (scores == highest)
    flat = np.where(far, scores, -np.inf).reshape(n, -1)
    best = np.argsort(-flat, axis=1)[:, :_MOST]
    return np.stack([u[best % samples], v[best // samples]], axis=2)

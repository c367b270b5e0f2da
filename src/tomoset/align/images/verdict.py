"""Whether images lie where they should: each against what all the others predict of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.fit import Bettered

Array = npt.NDArray[np.float64]

#: A place is confirmed if the correlation with the prediction is so far above chance [sd].
CONFIRMED = 6.0
#: Other places are those so far away [parts of a window].
_ELSEWHERE = 0.04


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Images, as the others predict them.

    Parameters
    ----------
    support : (n,) array
        How many standard deviations of chance the correlation of each with its prediction is
        above 0, where it lies now.
    rival : (n,) array
        The same where it is highest elsewhere.
    elsewhere : (n, 2) array
        By how much its content would then lie elsewhere: x, y on the plane [working px].
    off : (n, 2) array
        Where the correlation is highest close by [working px].
    coefficient : (n,) array
        Correlation coefficient with the prediction.
    """

    support: Array
    rival: Array
    elsewhere: Array
    off: Array
    coefficient: Array


def predict(bettered: Bettered) -> Prediction:
    """Compare every image with what the others predict of it, all windows together."""
    import scipy.fft

    looked = bettered.looked
    size = looked.seen.windows.size
    k = np.rint(looked.model.k * size).astype(np.int64)
    row, column = k[:, 1] % size, k[:, 0]
    spectra, terms = bettered.spectra, bettered.terms
    # C^-1 without its diagonal: the matched filter of the prediction.
    filters = (spectra * terms.precision - terms.residual) * terms.weights[:, None]
    products = (filters.conj() * spectra).sum(axis=0)
    power = (np.abs(filters) ** 2).sum(axis=(0, 2))
    scale = np.sqrt(looked.model.independent / np.maximum(0.5 * power, 1e-30))
    predicted = filters / np.maximum(terms.precision * terms.weights[:, None], 1e-6)
    both = np.sqrt((np.abs(predicted) ** 2).sum(axis=(0, 2)) * _power(spectra, predicted))
    coefficient = np.real(predicted.conj() * spectra).sum(axis=(0, 2)) / np.maximum(both, 1e-30)
    y, x = _offsets(size)[:, None], _offsets(size)[None]
    far = np.hypot(x, y) > max(3.0, _ELSEWHERE * size)
    n = len(products)
    support, rival = np.zeros(n), np.zeros(n)
    elsewhere, off = np.zeros((n, 2)), np.zeros((n, 2))
    for i in range(n):
        grid = np.zeros((size, size // 2 + 1), np.complex64)
        grid[row, column] = products[i]
        alone = column == 0
        grid[-row[alone] % size, 0] = products[i][alone].conj()
        scores = scipy.fft.irfft2(grid, s=(size, size)) * (size**2 / 2 * scale[i])
        support[i] = scores[0, 0]
        rival[i] = scores[far].max()
        elsewhere[i] = _where(np.where(far, scores, -np.inf), size)
        off[i] = _where(np.where(far, -np.inf, scores), size)
    return Prediction(
        support=support, rival=rival, elsewhere=elsewhere, off=off, coefficient=coefficient
    )


def _power(spectra: npt.NDArray[np.complex64], predicted: npt.NDArray[np.complex64]) -> Array:
    """Of images, at frequencies where something is predicted."""
    return np.asarray(((np.abs(spectra) ** 2) * (np.abs(predicted) > 0)).sum(axis=(0, 2)))


def _offsets(size: int) -> npt.NDArray[np.int64]:
    return np.asarray((np.arange(size) + size // 2) % size - size // 2)


def _where(scores: Array, size: int) -> Array:
    y, x = divmod(int(scores.argmax()), size)
    return np.array([_offsets(size)[x], _offsets(size)[y]], np.float64)

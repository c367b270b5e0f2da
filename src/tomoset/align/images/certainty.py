"""How well an alignment by images is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.cameras import FREE
from tomoset.align.images.fit import Bettered
from tomoset.align.images.plane import Plane

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Certainty:
    """Standard deviations, but for common shifts of the specimen.

    Parameters
    ----------
    columns : (n, 5) array
        Of `cameras.FREE` [working px, rad, a fraction].
    axis : float
        Of the mean rotation [rad].
    slope : (float, float)
        Of the plane of the specimen.
    expected : float
        Of where windows are projected: rms [working px].
    inflation : float
        By how much windows contradict each other more than the likelihood says.
    """

    columns: Array
    axis: float
    slope: tuple[float, float]
    expected: float
    inflation: float


def certainty(bettered: Bettered) -> Certainty:
    """Standard deviations by the likelihood, and by how windows scatter about what they agree on."""
    numbers, covariance = bettered.numbers, bettered.covariance
    n, count = numbers.n, len(FREE)
    images = np.arange(count * n).reshape(n, count)
    motions = _gauge(bettered.state.plane, bettered.state.projections)
    free = _without(covariance, images[:, :2].ravel(), motions)
    # What each window alone wants (the sandwich estimate): far too few for single numbers,
    # enough for all together.
    by_window = np.einsum("wnap,wna->wp", numbers.rows, bettered.terms.gradient, optimize=True)
    wanted = by_window @ free
    shifts = images[:, :2].ravel()
    said = free.diagonal()[shifts].sum()
    scattered = (wanted[:, shifts] ** 2).sum()
    number = len(by_window)
    inflation = np.sqrt(max(scattered / said * number / max(number - 1, 1), 1.0))
    deviations = np.sqrt(np.maximum(free.diagonal(), 0)) * inflation
    mean = np.zeros(len(free))
    mean[images[:, 2]] = 1 / n
    mean[count * n] = 1
    axis = inflation * np.sqrt(max(mean @ covariance @ mean, 0.0))
    linear, _ = bettered.state.plane.maps(bettered.state.projections)
    rows = np.einsum("nab,wnbp->wnap", linear, numbers.rows)
    squares = np.einsum("wnap,pq,wnaq->wn", rows, free, rows, optimize=True)
    return Certainty(
        columns=deviations[images],
        axis=float(axis),
        slope=_slope(bettered, inflation),
        expected=float(inflation * np.sqrt(max(squares.mean(), 0.0))),
        inflation=float(inflation),
    )


def _gauge(plane: Plane, projections: Array) -> Array:
    """How shifts of all images change with a shift of the specimen: (2n, 3)."""
    return np.asarray(projections[:, :2, :3].reshape(-1, 3))


def _without(covariance: Array, shifts: npt.NDArray[np.int64], motions: Array) -> Array:
    """Covariance of numbers after the motions that best make up for the shifts."""
    made_up = np.eye(len(covariance))
    made_up[np.ix_(shifts, shifts)] -= motions @ np.linalg.pinv(motions)
    return np.asarray(made_up @ covariance @ made_up.T)


def _slope(bettered: Bettered, inflation: float) -> tuple[float, float]:
    middles = bettered.looked.seen.windows.middles
    number = len(middles)
    if number < 4:
        return (np.inf, np.inf)
    rows = np.linalg.pinv(np.column_stack([np.ones(number), middles]))[1:]
    of = bettered.covariance[-number:, -number:]
    x, y = np.sqrt((rows @ of @ rows.T).diagonal()) * inflation
    return float(x), float(y)

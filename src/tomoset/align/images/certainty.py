"""How well an alignment by images is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.gauge import motions
from tomoset.align.images.cameras import FREE
from tomoset.align.images.fit import Bettered, inverse
from tomoset.align.images.slab import terms

Array = npt.NDArray[np.float64]

#: Surfaces are never as flat as a model, whose flatness would tell shifts too well [thicknesses].
ROUGH = 0.07


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


def certainty(bettered: Bettered, threads: int) -> Certainty:
    """Standard deviations by the likelihood, and by how windows scatter about what they share.

    The likelihood is that of a slab with rough surfaces: what only flat ones tell is left out.
    """
    numbers, model = bettered.numbers, bettered.looked.model
    slab = replace(model.slab, rough=max(model.slab.rough, ROUGH))
    used = bettered.looked.seen.used
    rough = terms(replace(model, slab=slab), bettered.spectra, used, informed=True, threads=threads)
    covariance = inverse(numbers.information(rough))
    n, count = numbers.n, len(FREE)
    images = np.arange(count * n).reshape(n, count)
    shifts = images[:, :2].ravel()
    by_shift = bettered.state.projections[:, :2, :3].reshape(-1, 3)
    free = _without(covariance, shifts, by_shift)
    inflation = _inflation(bettered, _without(bettered.covariance, shifts, by_shift), shifts)
    deviations = np.sqrt(np.maximum(free.diagonal(), 0)) * inflation
    mean = np.zeros(len(free))
    mean[images[:, 2]] = 1 / n
    mean[count * n] = 1
    axis = inflation * np.sqrt(max(float(mean @ covariance @ mean), 0.0))
    expected = inflation * _of_windows(bettered, free)
    return Certainty(
        columns=deviations[images],
        axis=float(axis),
        slope=_slope(bettered, covariance, inflation),
        expected=float(expected),
        inflation=float(inflation),
    )


def _without(covariance: Array, shifts: npt.NDArray[np.int64], by_shift: Array) -> Array:
    """Covariance of numbers after the motions that best make up for the shifts."""
    made_up = np.eye(len(covariance))
    made_up[np.ix_(shifts, shifts)] -= by_shift @ np.linalg.pinv(by_shift)
    return np.asarray(made_up @ covariance @ made_up.T)


def _inflation(bettered: Bettered, free: Array, shifts: npt.NDArray[np.int64]) -> float:
    """By how much windows contradict each other more than the likelihood says, at least 1.

    What each window alone wants (the sandwich estimate) is far too few for single numbers, but
    enough for all together. `free` is by the likelihood of which windows want the most.
    """
    by_window = np.einsum(
        "wnap,wna->wp", bettered.numbers.rows, bettered.terms.gradient, optimize=True
    )
    wanted = ((by_window @ free)[:, shifts] ** 2).sum(axis=1)
    number = len(by_window)
    said = free.diagonal()[shifts].sum() / number
    if not said > 0:
        return 1.0
    return float(np.sqrt(max(np.mean(wanted) / said * number / max(number - 1, 1), 1.0)))


def _of_windows(bettered: Bettered, covariance: Array) -> float:
    """How well it is known where windows are projected, but for rigid motions: rms [px]."""
    plane, projections = bettered.state.plane, bettered.state.projections
    rows = bettered.numbers.rows[..., : len(covariance) - len(bettered.numbers.rows)]
    linear, _ = plane.maps(projections)
    rows = np.einsum("nab,wnbp->wnap", linear, rows).reshape(-1, rows.shape[-1])
    levers = plane.points(bettered.looked.seen.windows.middles) - plane.centre
    by_motion = motions(levers, projections[:, :2, :3], slice(6))
    by_motion = by_motion.transpose(1, 0, 2, 3).reshape(len(rows), -1)
    rows = rows - by_motion @ (np.linalg.pinv(by_motion) @ rows)
    squares = np.einsum(
        "rp,pq,rq->r", rows, covariance[: rows.shape[1], : rows.shape[1]], rows, optimize=True
    )
    return float(np.sqrt(max(2 * squares.mean(), 0.0)))


def _slope(bettered: Bettered, covariance: Array, inflation: float) -> tuple[float, float]:
    middles = bettered.looked.seen.windows.middles
    number = len(middles)
    if number < 4:
        return (np.inf, np.inf)
    rows = np.linalg.pinv(np.column_stack([np.ones(number), middles]))[1:]
    of = covariance[-number:, -number:]
    x, y = np.sqrt((rows @ of @ rows.T).diagonal()) * inflation
    return float(x), float(y)

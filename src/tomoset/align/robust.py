"""Fits that false observations do not spoil: weights from residuals, until nothing changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem, Reduced, State, System, predicted, residuals, step
from tomoset.align.leverage import LeftOut, inverse, left_out, spread
from tomoset.align.parameter_groups import Basis
from tomoset.align.scatter import learned, unknown

Array = npt.NDArray[np.float64]

#: Where Tukey's biweight begins and ends, and where Huber's quadratic ends [standard deviations].
#: That it begins late costs 1.6 % of the information in normal errors of two coordinates, not 7 %.
FULL, TUKEY, HUBER = 2.0, 4.685, 1.345
#: The scale is that of this quantile of the lengths of residuals, not of the median, so that an
#: image most of whose observations are false keeps the scale of the others; and that quantile
#: of residuals whose two coordinates have standard deviation 1.
_QUANTILE = 0.35
_AT_QUANTILE = np.sqrt(-2 * np.log(1 - _QUANTILE))
#: Residuals below this are exact [px].
_EXACT = 1e-4
#: The scale of one tilt image counts as much as this many beads of all.
_SHRINK = 10.0
#: A bead needs so many good observations, and this fraction of its observations; a tilt image
#: needs so many.
MIN_VIEWS, MIN_FRACTION, MIN_BEADS = 3, 0.2, 2
#: A shift is far that is so many times the median of all, or the noise.
_STRAYED = 8.0

Rule = Literal["huber", "tukey"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A converged state, its weights, and the normal equations they make.

    Parameters
    ----------
    state : State
    residual : (n, m, 2) array
        Residuals [px].
    weights : (n, m) array
        0 to 1; 0 where nothing was seen.
    scale : (n,) array
        Of the residuals of each tilt image [standard deviations of the observations].
    dropped : (n, m) bool array
        Of beads and tilt images with too few good observations left.
    system, reduced
        Of the step before the last.
    out : LeftOut
        Every observation left out in turn.
    scatter : (9,) array
        Learned, of columns that are free in every tilt image (`scatter`).
    """

    state: State
    residual: Array
    weights: Array
    scale: Array
    dropped: npt.NDArray[np.bool_]
    system: System
    reduced: Reduced
    out: LeftOut
    scatter: Array

    @property
    def noise(self) -> float:
        """Typical scale of the residuals."""
        return float(np.median(self.scale))


def weigh(size: Array, rule: Rule) -> Array:
    """Weights of residuals of this size [standard deviations]."""
    if rule == "huber":
        return np.asarray(HUBER / np.maximum(size, HUBER))
    over = np.maximum(size - FULL, 0.0) / (TUKEY - FULL)
    return np.asarray(np.maximum(1 - over**2, 0.0) ** 2)


def slope(size: Array) -> Array:
    """Derivative of Tukey's weights."""
    over = np.maximum(size - FULL, 0.0) / (TUKEY - FULL)
    return np.asarray(-4 * over * np.maximum(1 - over**2, 0.0) / (TUKEY - FULL))


def loss(size: Array) -> Array:
    """Tukey's loss: from 0 to 1, which it is for whatever is further off than noise can be."""
    return np.asarray(1 - np.maximum(1 - (size / TUKEY) ** 2, 0.0) ** 3)


def scales(size: Array, seen: npt.NDArray[np.bool_], floor: float) -> tuple[Array, float]:
    """Scale of the residuals of each tilt image and of all, from a quantile.

    Parameters
    ----------
    size : (n, m) array
        Lengths of residuals [standard deviations].
    seen : (n, m) bool array
    floor : float
        The smallest scale there is.

    Returns
    -------
    by_tilt : (n,) float64 array
        Shrunk towards that of all, the more the fewer beads there are.
    overall : float
    """
    counts = seen.sum(axis=1)
    ordered = np.sort(np.where(seen, size, 1e30), axis=1)
    rank = _QUANTILE * np.maximum(counts - 1, 0)
    rows, low = np.arange(len(size)), rank.astype(np.int64)
    above = ordered[rows, np.minimum(low + 1, np.maximum(counts - 1, 0))]
    own = ordered[rows, low] + (rank - low) * (above - ordered[rows, low])
    every = float(np.quantile(size[seen], _QUANTILE)) if seen.any() else 0.0
    overall = max(every / _AT_QUANTILE, floor)
    own = np.log(np.maximum(np.where(counts, own / _AT_QUANTILE, overall), floor))
    share = counts / (counts + _SHRINK)
    return np.exp(share * own + (1 - share) * np.log(overall)), overall


def reweighted(
    problem: Problem,
    start: State,
    basis: Basis,
    rule: Rule,
    *,
    limit: int = 50,
    before: Fitted | None = None,
) -> Fitted:
    """Iteratively reweighted least squares, until neither state nor weights change.

    Parameters
    ----------
    problem, start, basis
    rule : {"huber", "tukey"}
    limit : int
        Steps at most.
    before : Fitted, optional
        A fit whose weights are a start, and whose dropped observations stay so.
    """
    seen = problem.precision > 0
    dropped = np.zeros_like(seen) if before is None else before.dropped
    weights = np.where(seen, 1.0, 0.0) if before is None else before.weights
    floor = _EXACT * float(np.median(problem.precision[seen]))
    noise = 1.0 if before is None else before.noise
    scatter = unknown() if before is None else known_scatter(before.scatter, basis)
    state = start
    for _ in range(limit):
        new, system, reduced = step(problem, state, weights, problem.prior(noise, scatter), basis)
        covariance = inverse(reduced)
        variance = spread(system, reduced, basis, covariance)
        residual = residuals(problem, new)
        out = left_out(problem, residual, weights, variance)
        scatter = learned(problem, new.cameras, basis, covariance, (noise, scatter))
        scale, noise = scales(out.size, seen & ~dropped, floor)
        if rule == "tukey":
            scale = np.clip(scale, noise / 2, noise * 20)
        rather = np.where(seen & ~dropped, weigh(out.size / scale[:, None], rule), 0.0)
        went = np.linalg.norm(predicted(problem, new) - predicted(problem, state), axis=2)
        state, change, weights = new, np.abs(rather - weights).max(), rather
        if change < 0.01 and (went * problem.precision)[weights > 0].max(initial=0) < 0.01 * noise:
            break
    return Fitted(state, residual, weights, scale, dropped, system, reduced, out, scatter)


def known_scatter(scatter: Array, basis: Basis) -> Array:
    """What is known of columns that are free now too."""
    known = unknown()
    columns = [basis.parts[part][0] for part in basis.free_by_tilt]
    known[columns] = scatter[columns]
    return known


def robust_fit(
    problem: Problem, start: State, basis: Basis, before: Fitted | None = None
) -> Fitted:
    """A fit by Tukey's rule, without the beads and tilt images that keep too few observations."""
    fitted = reweighted(problem, start, basis, "tukey", before=before)
    for _ in range(5):
        more = unsupported(problem, fitted)
        if not (more & ~fitted.dropped).any():
            break
        kept = np.where(more, 0.0, fitted.weights)
        fitted = replace(fitted, dropped=fitted.dropped | more, weights=kept)
        fitted = reweighted(problem, fitted.state, basis, "tukey", before=fitted)
    return fitted


def unsupported(problem: Problem, fitted: Fitted) -> npt.NDArray[np.bool_]:
    """Observations of beads and tilt images that have too few good ones: (n, m) bool.

    An image that went much further than the others needs half of its observations for it: two
    false ones may agree by chance, but hardly near where the image is expected.
    """
    seen, good = problem.precision > 0, fitted.weights > 0
    views = good.sum(axis=0)
    poor = (views < MIN_VIEWS) | (views < MIN_FRACTION * seen.sum(axis=0))
    left = (good & ~poor).sum(axis=1)
    gone = (fitted.state.cameras - problem.start)[:, :2]
    far = np.linalg.norm(gone - np.median(gone, axis=0), axis=1)
    noise = fitted.noise / float(np.median(problem.precision[seen]))
    strayed = far > _STRAYED * max(float(np.median(far)), noise)
    empty = (left < MIN_BEADS) | (strayed & (left < 0.5 * seen.sum(axis=1)))
    return np.asarray(seen & (poor[None, :] | empty[:, None]))

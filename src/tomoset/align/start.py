"""From projections and observations to a first fit that false observations do not spoil."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.bundle import Problem, State, predicted
from tomoset.align.parameter_groups import ParameterGroups, basis
from tomoset.align.parameters import TILT, decompose, linear
from tomoset.align.robust import MIN_VIEWS, TUKEY, Fitted, reweighted
from tomoset.model import Observations

Array = npt.NDArray[np.float64]

#: A bead that keeps less of its observations than this is found anew, by pairs of views:
#: so many at most, whose directions are so far apart [deg].
_DOUBTFUL, _PAIRS, _APART = 0.75, 600, 8.0
#: So many observations of one image must agree, if it is to be shifted.
MIN_AGREED = 3


def problem(
    projections: Array, observations: Observations, size: tuple[int, int, int] | None
) -> Problem:
    """What is to be solved, about the middle of the tomogram or else of the beads."""
    n = len(projections)
    seen = observations.grid(n)
    precision = np.zeros(seen.shape[:2])
    sure = 1.0 if observations.uncertainty is None else 1 / observations.uncertainty
    precision[observations.tilt, observations.bead] = sure
    if size is None:
        beads = geometry.triangulate(projections, seen)
        fixed = np.isfinite(beads).all(axis=1)
        centre = np.median(beads[fixed], axis=0) if fixed.any() else np.zeros(3)
    else:
        centre = np.array(size, dtype=np.float64) / 2
    points = observations.points
    return Problem(
        seen=np.where(np.isfinite(seen), seen, 0.0),
        precision=precision,
        start=decompose(projections, centre),
        centre=centre,
        lever=max(float(np.median(np.abs(points - np.median(points, axis=0)))), 1.0),
    )


def unchanged(given: Problem, projections: Array) -> State:
    """The cameras as they came, and beads by least squares."""
    seen = np.where(given.precision[..., None] > 0, given.seen, np.nan)
    beads = geometry.triangulate(projections, seen)
    return State(given.start, np.where(np.isfinite(beads), beads, given.centre))


def input_fit(given: Problem, state: State) -> Fitted:
    """The input alignment itself: only the beads are found."""
    nothing = basis(ParameterGroups(shift="fixed"), given.start[:, TILT])
    fitted = reweighted(given, state, nothing, "huber")
    return reweighted(given, fitted.state, nothing, "tukey", before=fitted)


def shifts(given: Problem, state: State) -> Fitted:
    """Shifts and beads, by Huber's rule, which converges from afar, and then by Tukey's.

    With more parameters Huber's would not: where an image has many false observations, its
    rotation would follow them.
    """
    free = basis(ParameterGroups(), given.start[:, TILT])
    fitted = reweighted(given, state, free, "huber")
    near = fitted.out.size < TUKEY * fitted.scale[:, None]
    weighed = replace(fitted, weights=np.where(near, fitted.weights, 0.0))
    again = agreed(given, weighed)
    return reweighted(given, again.state, free, "tukey", before=again)


def agreed(given: Problem, fitted: Fitted) -> Fitted:
    """Tilt images and beads that lost many observations, put where most of these agree."""
    return beads_agreed(given, tilts_agreed(given, fitted))


def tilts_agreed(given: Problem, fitted: Fitted) -> Fitted:
    """Tilt images that lost many observations, where most of these agree on another shift.

    As where more than half of the few observations of an image are false.
    """
    seen, good = given.precision > 0, fitted.weights > 0
    number, kept = seen.sum(axis=1), good.sum(axis=1)
    cameras, weights, dropped = fitted.state.cameras.copy(), fitted.weights.copy(), fitted.dropped
    dropped = dropped.copy()
    known = np.asarray(good.sum(axis=0) >= MIN_VIEWS)
    residual = given.seen - predicted(given, fitted.state)
    # The other parameters of the image are not known better than they scatter.
    free_by_tilt = fitted.scatter[np.isfinite(fitted.scatter)]
    noise = fitted.noise / float(np.median(given.precision[seen]))
    within = TUKEY * float(np.sqrt(noise**2 + (free_by_tilt**2).sum()))
    for tilt in np.flatnonzero((kept < _DOUBTFUL * number) & (number >= MIN_AGREED)):
        candidates = np.flatnonzero(seen[tilt] & known)
        apart = np.linalg.norm(
            residual[tilt, candidates, None] - residual[tilt, candidates], axis=2
        )
        near = apart < within
        if len(candidates) < MIN_AGREED or near.sum(axis=0).max() < max(kept[tilt] + 1, MIN_AGREED):
            continue
        best = int(np.argmax(near.sum(axis=0) - 1e-3 * np.minimum(apart / within, 1).sum(axis=0)))
        members = candidates[near[best]]
        cameras[tilt, :2] += np.median(residual[tilt, members], axis=0)
        weights[tilt], weights[tilt, members] = 0.0, 1.0
        dropped[tilt, members] = False
    return replace(
        fitted, state=State(cameras, fitted.state.beads), weights=weights, dropped=dropped
    )


def beads_agreed(given: Problem, fitted: Fitted) -> Fitted:
    """Beads that lost many of their observations, where most of these agree on another position.

    As where a track has jumped to a neighbour for nearly half of the images. Every pair of views
    gives a position; the one that most views confirm is taken.
    """
    seen, good = given.precision > 0, fitted.weights > 0
    kept, number = good.sum(axis=0), seen.sum(axis=0)
    beads, weights, dropped = (
        fitted.state.beads.copy(),
        fitted.weights.copy(),
        fitted.dropped.copy(),
    )
    usable = np.asarray(good.any(axis=1))
    for bead in np.flatnonzero((kept < _DOUBTFUL * number) & (number >= MIN_VIEWS)):
        position, near = _confirmed(given, fitted, int(bead), usable)
        if near.sum() > max(kept[bead], MIN_VIEWS):
            beads[bead], weights[:, bead] = position, near
            dropped[:, bead] = seen[:, bead] & ~usable
    state = State(fitted.state.cameras, beads)
    return replace(fitted, state=state, weights=weights, dropped=dropped)


def _confirmed(
    given: Problem, fitted: Fitted, bead: int, usable: npt.NDArray[np.bool_]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Where a bead lies by the pair of its views that most views confirm, and which do."""
    cameras = fitted.state.cameras
    views = np.flatnonzero((given.precision[:, bead] > 0) & usable)
    first, second = (views[x] for x in np.triu_indices(len(views), 1))
    apart = np.abs(np.rad2deg(cameras[first, TILT] - cameras[second, TILT])) > _APART
    first, second = first[apart], second[apart]
    some = np.unique(np.linspace(0, len(first) - 1, min(len(first), _PAIRS)).astype(np.int64))
    none = np.zeros(len(usable), dtype=bool)
    if not len(some):
        return fitted.state.beads[bead], none
    by_voxel = linear(cameras)
    target = given.seen[:, bead] - cameras[:, :2]
    rows = np.concatenate([by_voxel[first[some]], by_voxel[second[some]]], axis=1)
    sides = np.concatenate([target[first[some]], target[second[some]]], axis=1)
    normal = rows.transpose(0, 2, 1) @ rows + 1e-9 * np.eye(3)
    positions = np.linalg.solve(normal, rows.transpose(0, 2, 1) @ sides[..., None])[..., 0]
    residual = np.linalg.norm(positions @ by_voxel.transpose(0, 2, 1) - target[:, None], axis=2)
    scaled = residual * (given.precision[:, bead] / fitted.scale)[:, None]
    near = (scaled < TUKEY) & usable[:, None] & (given.precision[:, bead] > 0)[:, None]
    best = int(np.argmax(near.sum(axis=0) - 1e-3 * np.minimum(scaled, TUKEY).sum(axis=0)))
    return positions[best] + given.centre, near[:, best]

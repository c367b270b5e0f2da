"""Alignment of a tilt series by beads: from observations to projections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align import checks, gauge, start
from tomoset.align.bundle import Prior, Problem, linearise, reduce
from tomoset.align.certainty import Certainty, certainty
from tomoset.align.choose import Chosen, choose
from tomoset.align.fit import AdjustOptions, Fit
from tomoset.align.parameters import (
    ANGLES,
    BEAM_TILT,
    COLUMNS,
    MAGNIFICATION,
    compose,
    decompose,
    readable,
    rotated_by,
)
from tomoset.align.robust import Fitted, robust_fit
from tomoset.model import Observations
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: Directions that change the images by less than this, against the most, change nothing.
_NOTHING = 1e-6


def adjust(
    projections: Array, observations: Observations, options: AdjustOptions | None = None
) -> Fit:
    """Projections and bead positions that fit where beads were seen.

    Least squares over all observations (bundle adjustment), false ones weighed down; as many
    parameters as predict observations that are left out better. The tomogram stays where it
    was: of all rigid motions of the specimen, which no observation sees, the one after which the
    new projections see the beads most nearly where the old ones did.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    observations : Observations
        In 0-based pixels; their uncertainties count relative to each other.
    options : AdjustOptions, optional

    Returns
    -------
    Fit

    Raises
    ------
    AlignmentError
        If the observations do not support an alignment, or none that predicts them better.
    ModelError
        If shapes contradict each other.

    Examples
    --------
    >>> from tomoset import geometry
    >>> true = geometry.rotation_y(np.linspace(-60, 60, 21))
    >>> x, y, z = np.meshgrid([-90, 10, 100], [-80, 70], [-20, 30])
    >>> beads = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    >>> tilt, bead = np.indices((21, 12)).reshape(2, -1)
    >>> points = geometry.apply(true, beads)[tilt, bead, :2]
    >>> seen = Observations(bead=bead, tilt=tilt, points=points)
    >>> wrong = true.copy()
    >>> wrong[:, 0, 3] += np.random.default_rng(1).normal(0, 3, 21)
    >>> fit = adjust(wrong, seen)
    >>> print(fit.model)
    shift free
    >>> fit.rms < 1e-9
    True
    """
    with one_thread():
        return _adjust(projections, observations, options or AdjustOptions())


def _adjust(projections: Array, observations: Observations, options: AdjustOptions) -> Fit:
    projections = checks.check_input(projections, observations)
    problem = start.problem(projections, observations, options.size)
    unchanged = start.unchanged(problem, projections)
    before = start.input_fit(problem, unchanged)
    first = start.shifts(problem, unchanged)
    chosen = choose(problem, first, options.forced)
    fitted = robust_fit(problem, chosen.fitted.state, chosen.basis, before=chosen.fitted)
    again = start.agreed(problem, fitted)
    fitted = robust_fit(problem, again.state, chosen.basis, before=again)
    checks.check_supported(problem, fitted, options.image_size)
    checks.check_better(problem, before, fitted)
    chosen = Chosen(chosen.groups, chosen.basis, fitted)
    placed = _placed(projections, problem, chosen, options)
    used = fitted.weights > 0
    checks.check_significant(placed.certainty.expected, left_out_rms(problem, before, used))
    return _result(_Case(projections, observations, problem, before, chosen), placed)


@dataclass(frozen=True, eq=False)
class _Case:
    """What was given, what it amounts to, and what was fitted."""

    projections: Array
    observations: Observations
    problem: Problem
    before: Fitted
    chosen: Chosen


@dataclass(frozen=True, eq=False)
class _Placed:
    """Projections and beads in the frame of the input, and how sure they are."""

    projections: Array
    beads: Array
    certainty: Certainty


def _placed(
    projections: Array, problem: Problem, chosen: Chosen, options: AdjustOptions
) -> _Placed:
    fitted = chosen.fitted
    used = np.asarray((fitted.weights > 0).any(axis=1))
    good = np.asarray((fitted.weights > 0).any(axis=0))
    new = compose(fitted.state.cameras, problem.centre, projections)
    found = gauge.find(
        projections[used],
        new[used],
        gauge.reference_points(fitted.state.beads[good], options.size),
        scaled=chosen.groups.magnification != "fixed",
    )
    new = rotated_by(found.transformed(new), projections, problem.centre)
    # What nobody saw keeps its shift; its rotation follows the parameters that images share.
    to = problem.start[~used, :2] - decompose(new[~used], problem.centre)[:, :2]
    new[~used, :2, 3] += to
    beads = np.full_like(fitted.state.beads, np.nan)
    beads[good] = geometry.apply(found.motion, fitted.state.beads[good])
    sure = certainty(problem, fitted, chosen.basis, found, (projections, new))
    return _Placed(new, beads, sure)


def _result(case: _Case, placed: _Placed) -> Fit:
    problem, fitted, seen = case.problem, case.chosen.fitted, case.observations
    at = (seen.tilt, seen.bead)
    used = fitted.weights > 0
    residual = fitted.residual[at]
    residual[~np.asarray(used.any(axis=0))[seen.bead]] = np.nan
    squares = np.where(used, (fitted.residual**2).sum(axis=2), 0.0)
    cameras = decompose(placed.projections, problem.centre)
    parameters, given = readable(cameras), readable(problem.start)
    changes = parameters - given
    changes[:, ANGLES] = (changes[:, ANGLES] + 180) % 360 - 180
    changes[:, MAGNIFICATION] = parameters[:, MAGNIFICATION] / given[:, MAGNIFICATION] - 1
    deviations = placed.certainty.deviations.copy()
    deviations[:, ANGLES] = np.rad2deg(deviations[:, ANGLES])
    deviations[:, MAGNIFICATION] *= parameters[:, MAGNIFICATION]
    tilted = fitted.state.cameras[0, BEAM_TILT] - problem.start[0, BEAM_TILT]
    return Fit(
        projections=placed.projections,
        beads=placed.beads,
        residuals=residual,
        weights=fitted.weights[at],
        outliers=~used[at],
        by_tilt=_rms(squares, used, 1),
        by_bead=_rms(squares, used, 0),
        rms=float(_rms(squares, used, None)),
        leave_out=left_out_rms(problem, fitted, used),
        leave_out_before=left_out_rms(problem, case.before, used),
        expected=placed.certainty.expected,
        parameters=parameters[:, :8],
        deviations=deviations[:, :8],
        changes=changes[:, :8],
        n_parameters=independent(problem, case.chosen),
        effective=float(fitted.out.hat.sum()),
        model=case.chosen.groups,
        beam_tilt=float(np.rad2deg(tilted)),
        unsupported=np.flatnonzero(~used.any(axis=1)),
    )


def _rms(squares: Array, used: npt.NDArray[np.bool_], axis: int | None) -> Array:
    """Root of the mean over what was used; NaN where nothing was."""
    count = used.sum(axis=axis)
    return np.sqrt(np.where(count, squares.sum(axis=axis) / np.maximum(count, 1), np.nan))


def left_out_rms(problem: Problem, fitted: Fitted, used: npt.NDArray[np.bool_]) -> float:
    """Rms error of these observations, each predicted by all others [px]."""
    errors = fitted.out.errors[used] / problem.precision[used][:, None]
    return float(np.sqrt((errors**2).sum(axis=1).mean()))


def independent(problem: Problem, chosen: Chosen) -> int:
    """Free parameters of cameras and beads that the images of the beads depend on."""
    fitted = chosen.fitted
    nothing = Prior(np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS)))
    system = linearise(problem, fitted.state, fitted.weights, nothing)
    values = np.linalg.eigvalsh(reduce(system, chosen.basis).normal)
    seen = int((values > _NOTHING * values.max(initial=0.0)).sum())
    return seen + 3 * int((fitted.weights > 0).any(axis=0).sum())

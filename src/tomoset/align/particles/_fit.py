"""Align a tilt series by its particles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.particles.cameras import UNITS, changes_between
from tomoset.align.particles.certainty import Certainty, certainty
from tomoset.align.particles.frame import HELD
from tomoset.align.particles.freedom import GROUPS
from tomoset.align.particles.newton import Rest
from tomoset.align.particles.problem import ParticleOptions, ParticleProblem
from tomoset.align.particles.result import ParticleFit
from tomoset.align.particles.stages import Climbed, Task, before, climbed, put_back
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def fit_particles(problem: ParticleProblem, options: ParticleOptions | None = None) -> ParticleFit:
    """Find cameras, places, motions and deformation under which the windows match best.

    Models go from simple to rich; how large changes of each class are is learned; and what does
    not predict particles better that were left out is not changed.

    Parameters
    ----------
    problem : ParticleProblem
    options : ParticleOptions, optional

    Returns
    -------
    ParticleFit

    Raises
    ------
    ModelError
        If a window has values that are not finite, or motion is asked for without doses.
    """
    task = Task.of(problem, options if options is not None else ParticleOptions())
    best = climbed(task)
    ended, kept = put_back(task, best)
    if not (best.choice.shifts or best.choice.angles or best.choice.magnification):
        kept = np.zeros(len(kept), dtype=bool)
    # Tilt images that were put back hold the tomogram where it was.
    sure = certainty(ended, best.frame if (kept == task.movable).all() else HELD)
    return _result(task, replace(best, rest=ended), kept, sure)


def _result(task: Task, best: Climbed, kept: Mask, sure: Certainty) -> ParticleFit:
    rest = best.rest
    numbers = rest.problem.numbers(rest.vector, rest.moved)
    n_tilts, n_particles = rest.found.values.shape
    given = task.problem.trajectories
    moves = np.zeros((n_particles, n_tilts, 3)) if given is None else np.array(given)
    modes = rest.problem.model.modes
    if modes is not None and numbers.motion.any():
        found = modes.displacements(numbers.motion) * task.problem.pixel_size
        moves += np.swapaxes(found, 0, 1)
    trajectories = moves @ best.frame.motion[:3, :3].T
    deformation = task.problem.deformation
    wanted = task.options.deformation
    if best.choice.deformation and wanted is not None:
        deformation = Deformation(
            kind=wanted.kind, grid=wanted.grid, coefficients=numbers.deformation
        )
    shown = rest.problem.surface.energy > 0
    offsets = np.where(shown[..., None], rest.found.seen.offsets, np.nan)
    gain, error = np.full((2, n_tilts), np.nan)
    if best.predicted is not None:
        gain, error = best.predicted.by_tilt()
    free = rest.problem.free.tilt >= 0
    old = np.asarray(task.problem.projections, dtype=np.float64)
    new = best.frame.moved(rest.found.seen.cameras.projections)
    projections = np.where(kept[:, None, None], new, old)
    return ParticleFit(
        projections=projections,
        positions=geometry.apply(best.frame.motion, rest.problem.model.positions + rest.moved),
        trajectories=trajectories,
        deformation=deformation,
        changes=changes_between(old, projections, task.problem.size),
        deviations=np.where(free, sure.cameras * UNITS, np.nan),
        position_deviations=sure.places,
        spreads=_spreads(rest),
        expected=sure.expected,
        bend_deviations=sure.deformation,
        motion_deviations=sure.motion * task.problem.pixel_size,
        amplitude=rest.noise.amplitude,
        evidence=rest.found.evidence,
        weights=rest.found.weights,
        offsets=np.swapaxes(offsets, 0, 1),
        residuals=_residuals(rest),
        log_likelihood=rest.found.total,
        log_likelihood_before=before(task, rest),
        gains=best.gains,
        gain_by_tilt=gain,
        gain_error_by_tilt=error,
        kept=kept,
    )


def _spreads(rest: Rest) -> dict[str, float]:
    prior = rest.problem.prior
    units = np.concatenate([UNITS, np.ones(len(GROUPS) - len(UNITS))])
    free = np.unique(prior.group)
    found = {
        name: float(np.sqrt(prior.variance[g]) * units[g])
        for g, name in enumerate(GROUPS[:-1])
        if g in free
    }
    if rest.problem.free.particles:
        found["positions"] = float(np.sqrt(prior.place))
    return found


def _residuals(rest: Rest) -> Array:
    """Squares of the slopes that are left, over their variances: (n_tilts,)."""
    surface = rest.problem.surface
    shown = surface.energy > 0
    known = np.where(shown[..., None, None], surface.information, np.eye(2))
    slopes = surface.values(rest.found.seen.offsets)[1]
    squares = (slopes * np.linalg.solve(known, slopes[..., None])[..., 0]).sum(axis=-1)
    weights = shown * rest.found.weights
    total = weights.sum(axis=1)
    mean = (squares * weights).sum(axis=1) / np.where(total > 0, 2 * total, 1.0)
    return np.asarray(np.where(total > 0, mean, np.nan))

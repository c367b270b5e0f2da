"""Align a tilt series by its particles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.particles.cameras import UNITS, changes_between
from tomoset.align.particles.certainty import Certainty, certainty
from tomoset.align.particles.frame import HELD
from tomoset.align.particles.free_parameters import GROUPS
from tomoset.align.particles.newton import State
from tomoset.align.particles.problem import ParticleOptions, ParticleProblem
from tomoset.align.particles.result import ParticleFit
from tomoset.align.particles.stages import (
    Selected,
    Task,
    log_likelihood_before,
    restore_tilts,
    select_model,
)
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def fit_particles(problem: ParticleProblem, options: ParticleOptions | None = None) -> ParticleFit:
    """Find the cameras, positions, motions and deformation of the highest likelihood.

    Models go from simple to rich; the variance of each group of parameters is learned; and what
    does not predict particles better that were left out is not changed.

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
        If a cross-correlation is not finite, or motion is asked for without doses.
    """
    task = Task.of(problem, options if options is not None else ParticleOptions())
    best = select_model(task)
    ended, kept = restore_tilts(task, best)
    if not (best.choice.shifts or best.choice.angles or best.choice.magnification):
        kept = np.zeros(len(kept), dtype=bool)
    # Tilt images that were put back hold the tomogram where it was.
    sure = certainty(ended, best.frame if (kept == task.movable).all() else HELD)
    return _result(task, replace(best, state=ended), kept, sure)


def _result(task: Task, best: Selected, kept: Mask, sure: Certainty) -> ParticleFit:
    state = best.state
    parameters = state.problem.parameters(state.vector, state.displacement)
    n_tilts, n_particles = state.found.values.shape
    given = task.problem.trajectories
    displacements = np.zeros((n_particles, n_tilts, 3)) if given is None else np.array(given)
    modes = state.problem.model.modes
    if modes is not None and parameters.motion.any():
        found = modes.displacements(parameters.motion) * task.problem.pixel_size
        displacements += np.swapaxes(found, 0, 1)
    trajectories = displacements @ best.frame.motion[:3, :3].T
    deformation = task.problem.deformation
    wanted = task.options.deformation
    if best.choice.deformation and wanted is not None:
        deformation = Deformation(
            kind=wanted.kind, grid=wanted.grid, coefficients=parameters.deformation
        )
    shown = state.problem.splines.energy > 0
    offsets = np.where(shown[..., None], state.found.projected.offsets, np.nan)
    gain, error = np.full((2, n_tilts), np.nan)
    if best.predicted is not None:
        gain, error = best.predicted.by_tilt()
    free = state.problem.free.tilt >= 0
    old = np.asarray(task.problem.projections, dtype=np.float64)
    new = best.frame.transformed(state.found.projected.cameras.projections)
    projections = np.where(kept[:, None, None], new, old)
    return ParticleFit(
        projections=projections,
        positions=geometry.apply(
            best.frame.motion, state.problem.model.positions + state.displacement
        ),
        trajectories=trajectories,
        deformation=deformation,
        changes=changes_between(old, projections, task.problem.size),
        deviations=np.where(free, sure.cameras * UNITS, np.nan),
        position_deviations=sure.positions,
        spreads=_spreads(state),
        expected=sure.expected,
        deformation_deviations=sure.deformation,
        motion_deviations=sure.motion * task.problem.pixel_size,
        amplitude=state.noise.amplitude,
        log_likelihood_ratio=state.found.log_likelihood_ratio,
        weights=state.found.weights,
        offsets=np.swapaxes(offsets, 0, 1),
        residuals=_residuals(state),
        log_likelihood=state.found.total,
        log_likelihood_before=log_likelihood_before(task, state),
        gains=best.gains,
        gain_by_tilt=gain,
        gain_error_by_tilt=error,
        kept=kept,
    )


def _spreads(state: State) -> dict[str, float]:
    prior = state.problem.prior
    units = np.concatenate([UNITS, np.ones(len(GROUPS) - len(UNITS))])
    free = np.unique(prior.group)
    found = {
        name: float(np.sqrt(prior.variance[g]) * units[g])
        for g, name in enumerate(GROUPS[:-1])
        if g in free
    }
    if state.problem.free.particles:
        found["positions"] = float(np.sqrt(prior.position_variance))
    return found


def _residuals(state: State) -> Array:
    """Squares of the slopes that are left, over their variances: (n_tilts,)."""
    splines = state.problem.splines
    shown = splines.energy > 0
    known = np.where(shown[..., None, None], splines.information, np.eye(2))
    slopes = splines.values(state.found.projected.offsets)[1]
    squares = (slopes * np.linalg.solve(known, slopes[..., None])[..., 0]).sum(axis=-1)
    weights = shown * state.found.weights
    total = weights.sum(axis=1)
    mean = (squares * weights).sum(axis=1) / np.where(total > 0, 2 * total, 1.0)
    return np.asarray(np.where(total > 0, mean, np.nan))

"""Standard deviations of what was fitted, the tomogram lying where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.gauge import Gauge, compensation, motions
from tomoset.align.particles.algebra import inverse
from tomoset.align.particles.cameras import tilting
from tomoset.align.particles.free_parameters import FreeParameters
from tomoset.align.particles.motion import Modes
from tomoset.align.particles.newton import State, Step
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: The columns of a camera that make up for rigid motions: angles and shifts.
_OWN = 5
#: A motion is significant if it is so many times its error.
_CLEAR = 1.5
#: Particles from which the error of motions is computed.
_SOME = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Certainty:
    """Standard deviations.

    Parameters
    ----------
    cameras : (n_tilts, 8) array
        Of changes of cameras, rotations across and about the tilt axis first: radians, px, factors.
    positions : (n_particles, 3) array
        [voxels]; NaN for particles that no image shows.
    expected : (n_tilts,) array
        Rms error of the projections at the particles [px].
    deformation : (n_tilts,) array
        The same of the deformation; NaN where it is not free.
    motion : (n_tilts, 3) array
        Rms error of displacements along each axis [voxels]; NaN where there are none.
    """

    cameras: Array
    positions: Array
    expected: Array
    deformation: Array
    motion: Array


def certainty(state: State, gauge: Gauge) -> Certainty:
    """From the information and the prior; without what the gauge takes out.

    Parameters
    ----------
    state : State
    gauge : Gauge
    """
    problem, projected = state.problem, state.found.projected
    with one_thread():
        step = Step.of(state)
        reduced, covariance = step.reduced, inverse(step.factor)
        columns = _column_slopes(problem.free)
        by_position = -(reduced.blocks @ reduced.cross.transpose(1, 2, 0))
        if gauge.free.stop:
            columns, by_position = _less_gauge(state, gauge, columns, by_position)
        each = columns @ covariance @ np.swapaxes(columns, 1, 2)
        spread = np.einsum("pig,gh,pih->pi", by_position, covariance, by_position, optimize=True)
        deformation = _deformation(state, covariance)
        motion = _motion(state, problem.moving, covariance)
    if problem.free.particles:
        spread = spread + np.diagonal(reduced.blocks, axis1=1, axis2=2)
    out = np.tile(np.eye(each.shape[1]), (len(each), 1, 1))
    out[:, :2, :2] = tilting(problem.model.projections)
    said = out @ each @ np.swapaxes(out, 1, 2)
    shown = np.asarray(problem.splines.energy.any(axis=0))
    squares = []
    for t, block in enumerate(each):
        slopes = projected.cameras.slopes_at(t, projected.levers[t][shown])
        squares.append(np.einsum("pia,ab,pib->", slopes, block, slopes, optimize=True))
    return Certainty(
        cameras=np.sqrt(np.maximum(np.diagonal(said, axis1=1, axis2=2), 0.0)),
        positions=np.where(shown[:, None], np.sqrt(np.maximum(spread, 0.0)), np.nan),
        expected=np.sqrt(np.maximum(squares, 0.0) / max(int(shown.sum()), 1)),
        deformation=deformation,
        motion=motion,
    )


def motion_stands_out(state: State) -> bool:
    """Whether motions are clearly larger than what is uncertain of them, but for what all share."""
    problem, modes = state.problem, state.problem.moving
    if modes is None:
        return False
    with one_thread():
        own = replace(modes, space=modes.space - modes.space.mean(axis=0))
        error = _motion(state, own, inverse(Step.of(state).factor))
    size = own.displacements(state.vector[problem.free.motion])
    ratio = float((size**2).sum(axis=2).mean()) / max(float((error**2).sum(axis=1).mean()), 1e-12)
    return ratio > _CLEAR**2


def _deformation(state: State, covariance: Array) -> Array:
    """Rms error of the deformation at the particles: (n_tilts,) [px]."""
    free, basis = state.problem.free, state.problem.model.basis
    found = np.full(len(state.found.values), np.nan)
    if basis is None or not free.deforming or not len(state.displacement):
        return found
    for t, which in enumerate(free.deformation):
        design = basis.design(state.found.projected.positions[t])
        block = covariance[np.ix_(which, which)]
        squares = sum(float(_quadratic(design[:, axis], block).mean()) for axis in (0, 1))
        found[t] = np.sqrt(max(squares, 0.0))
    return found


def _motion(state: State, modes: Modes | None, covariance: Array) -> Array:
    """Rms error of displacements: (n_tilts, 3) [voxels]."""
    free = state.problem.free
    found = np.full((len(state.found.values), 3), np.nan)
    if modes is None or not len(state.displacement):
        return found
    some = modes.space[:: max(len(modes.space) // _SOME, 1), modes.which]
    for axis in range(3):
        of = free.motion[:, axis]
        block = covariance[np.ix_(of, of)]
        for t, displacement in enumerate(modes.time):
            squares = _quadratic(some * displacement, block).mean()
            found[t, axis] = np.sqrt(max(squares, 0.0))
    return found


def _quadratic(rows: Array, matrix: Array) -> Array:
    """rows[i] matrix rows[i] for every i."""
    return np.asarray(((rows @ matrix) * rows).sum(axis=1))


def _column_slopes(free: FreeParameters) -> Array:
    """How the columns of each camera follow the free parameters: (n_tilts, 8, size)."""
    by = np.zeros((*free.tilt.shape, free.size))
    tilt, column = np.nonzero(free.tilt >= 0)
    by[tilt, column, free.tilt[tilt, column]] = 1.0
    acts = free.applies
    for shared in np.flatnonzero(free.common >= 0):
        by[acts, shared, free.common[shared]] = 1.0
    return by


def _less_gauge(
    state: State, gauge: Gauge, columns: Array, by_position: Array
) -> tuple[Array, Array]:
    """The same in the frame of before: less the motion of the specimen that makes up for them.

    To first order, where motions of the specimen are the same in the frames of fit and input.
    """
    projected, free = state.found.projected, state.problem.free
    about = gauge.points.mean(axis=0)
    levers = projected.cameras.projected(gauge.points)[1]
    by_camera = np.stack([projected.cameras.slopes_at(t, a) for t, a in enumerate(levers)])
    by_motion = motions(gauge.points - about, projected.cameras.linear, gauge.free)
    free_tilts = free.applies
    made_up = compensation(
        by_motion[free_tilts], gauge.weights, by_camera[free_tilts], columns[free_tilts]
    )
    followed = np.zeros((len(columns), columns.shape[1], len(made_up)))
    for t in np.flatnonzero(free_tilts):
        flat = by_camera[t].reshape(-1, by_camera.shape[-1])[:, :_OWN]
        target = by_motion[t].reshape(len(flat), -1)
        followed[t, :_OWN] = np.linalg.lstsq(flat, target, rcond=1e-9)[0]
    points = state.problem.model.positions + state.displacement
    in_space = motions(points - about, np.eye(3)[None], gauge.free)[0]
    return columns - followed @ made_up, by_position + in_space @ made_up

"""Steps of Fisher scoring, the positions of particles eliminated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, inverse, solved
from tomoset.align.particles.free_parameters import Prior
from tomoset.align.particles.likelihood import (
    Evaluation,
    Noise,
    Problem,
    amplitudes,
    evaluate,
    penalised,
)
from tomoset.align.particles.model import design
from tomoset.align.particles.motion_variances import learn_motion_variances
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: The fit has converged when squares of steps, over variances, are so small on average.
_CONVERGED = 1e-3
#: With so many free parameters, their variances are learned in every third step only.
_LEARN_ALL, _LEARN_EVERY = 2000, 3
#: Steps in which the variances of motion are learned.
_LEARN_MOTIONS = (1, 3, 6, 10, 15)
#: Bounds of the fraction of bad particles.
_BAD = (0.01, 0.3)


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """Information of the images on everything, and slopes, without the prior.

    Parameters
    ----------
    normal : (size, size) array
        Of the free parameters.
    cross : (size, n_particles, 3) array
    data : (n_particles, 3, 3) array
        Of positions.
    slope : (size,) array
    position_slope : (n_particles, 3) array
    """

    normal: Array
    cross: Array
    data: Array
    slope: Array
    position_slope: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """What is left of a system when positions follow the free parameters.

    Parameters
    ----------
    normal : (size, size) array
    slope : (size,) array
    cross : (size, n_particles, 3) array
        As of the system, with the prior's part.
    blocks : (n_particles, 3, 3) array
        Covariances of positions if the free parameters were known.
    position_slopes : (n_particles, 3) array
        Slopes by positions, with their prior.
    """

    normal: Array
    slope: Array
    cross: Array
    blocks: Array
    position_slopes: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Parameters and noise model at one step of a fit."""

    problem: Problem
    vector: Array
    displacement: Array
    noise: Noise
    found: Evaluation


def curvature(problem: Problem, found: Evaluation, noise: Noise) -> Array:
    """Information on every offset: (n_tilts, n_particles, 2, 2) [1/px²]."""
    factor = noise.amplitude[:, None] ** 2 * found.weights
    return np.asarray(factor[..., None, None] * problem.splines.information)


def build(problem: Problem, found: Evaluation, noise: Noise) -> System:
    """Information and slopes of all that has been evaluated."""
    free, modes = problem.free, problem.moving
    size, count = free.size, found.slopes.shape[1]
    normal, slope = np.zeros((size, size)), np.zeros(size)
    cross = np.zeros((size, count, 3))
    weight = curvature(problem, found, noise)
    data, slopes_by_position = np.zeros((*weight.shape[:2], 3, 3)), np.zeros((*weight.shape[:2], 3))
    for t in range(len(weight)):
        slopes, which = design(problem.model, free, found.projected, t)
        by_voxel = found.projected.by_voxel(t)
        heavy = weight[t] @ slopes
        flat, weighted = (x.reshape(2 * count, len(which)) for x in (slopes, heavy))
        normal[np.ix_(which, which)] += flat.T @ weighted
        slope[which] += flat.T @ found.slopes[t].ravel()
        transposed = np.swapaxes(by_voxel, 1, 2)
        shared = np.swapaxes(heavy, 1, 2) @ by_voxel
        cross[which] += shared.transpose(1, 0, 2)
        data[t] = transposed @ weight[t] @ by_voxel
        slopes_by_position[t] = (transposed @ found.slopes[t][..., None])[..., 0]
        if modes is not None and len(which):
            mixed = modes.with_others(t, shared).reshape(len(which), -1)
            normal[np.ix_(which, free.motion.ravel())] += mixed
            normal[np.ix_(free.motion.ravel(), which)] += mixed.T
    if modes is not None:
        of = free.motion.ravel()
        normal[np.ix_(of, of)] += modes.normal(data).reshape(len(of), len(of))
        slope[of] += modes.slope(slopes_by_position).ravel()
        cross[of] += modes.cross(data).reshape(len(of), count, 3)
    return System(
        normal=normal,
        cross=cross,
        data=data.sum(axis=0),
        slope=slope,
        position_slope=slopes_by_position.sum(axis=0),
    )


def reduce(system: System, problem: Problem, vector: Array, displacement: Array) -> Reduced:
    """Eliminate the positions of particles, with their prior."""
    if not problem.free.particles or not len(displacement):
        return Reduced(
            normal=system.normal,
            slope=system.slope,
            cross=system.cross,
            blocks=np.zeros((len(displacement), 3, 3)),
            position_slopes=np.zeros(displacement.shape),
        )
    _, expected, stiff = problem.prior.position_terms(problem.averaged(vector, displacement))
    system = _averaged(system, problem, expected, stiff)
    blocks = np.asarray(np.linalg.inv(system.data + stiff[:, None, None] * np.eye(3)))
    position_slopes = system.position_slope + expected
    root = np.linalg.cholesky(blocks)
    half = (system.cross.transpose(1, 0, 2) @ root).transpose(1, 0, 2)
    flat = half.reshape(len(half), 3 * len(displacement))
    known = (np.swapaxes(root, 1, 2) @ position_slopes[..., None]).ravel()
    return Reduced(
        normal=system.normal - flat @ flat.T,
        slope=system.slope - flat @ known,
        cross=system.cross,
        blocks=blocks,
        position_slopes=position_slopes,
    )


def _averaged(system: System, problem: Problem, expected: Array, stiff: Array) -> System:
    """With the information on motions by the prior of positions, which average over them."""
    modes, averaging = problem.averaged_modes, problem.prior.averaging
    if modes is None:
        return system
    of = problem.free.motion.ravel()
    normal, slope, cross = system.normal.copy(), system.slope.copy(), system.cross.copy()
    by_itself = averaging**2 * modes.averages_normal(stiff)
    normal[np.ix_(of, of)] += by_itself.reshape(len(of), len(of))
    slope[of] += averaging * modes.averages_slope(expected).ravel()
    shared = averaging * stiff[:, None] * modes.averages_reach()
    cross[of] += shared.reshape(len(of), *cross.shape[1:])
    return replace(system, normal=normal, slope=slope, cross=cross)


def optimise(state: State, iterations: int) -> State:
    """Go on to the nearest most likely state; variances and noise are learned on the way."""
    with one_thread():
        for iteration in range(iterations):
            step = Step.of(state)
            state, better = _line_search(state, step.vector, step.displacement)
            if not better:
                return state
            if iteration > 0:
                state = _learned(state, step, iteration)
            state = with_noise(state, step.system.data)
            if step.decrement < _CONVERGED * (len(state.vector) + state.displacement.size):
                break
        # What was learned last is followed.
        step = Step.of(state)
        state, _ = _line_search(state, step.vector, step.displacement)
        return with_noise(state, step.system.data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """From a state to the most likely one, were everything linear.

    Parameters
    ----------
    system : System
    reduced : Reduced
    factor : tuple
        Of the information on the free parameters and their prior.
    start : (size,) array
        The free parameters from which it leads.
    vector : (size,) array
    displacement : (n_particles, 3) array
        The step.
    decrement : float
        The square of the step, over variances (Newton decrement).
    """

    system: System
    reduced: Reduced
    factor: tuple[Array, bool]
    start: Array
    vector: Array
    displacement: Array
    decrement: float

    @classmethod
    def of(cls, state: State) -> Step:
        """From a state."""
        problem = state.problem
        system = build(problem, state.found, state.noise)
        reduced = reduce(system, problem, state.vector, state.displacement)
        _, expected, stiff = problem.prior.terms(state.vector)
        factor = factored(reduced.normal, stiff)
        slope = reduced.slope + expected
        vector = solved(factor, slope)
        pulled = reduced.position_slopes - np.tensordot(vector, reduced.cross, axes=1)
        alone = (reduced.blocks @ reduced.position_slopes[..., None])[..., 0]
        return cls(
            system=system,
            reduced=reduced,
            factor=factor,
            start=state.vector,
            vector=vector,
            displacement=(reduced.blocks @ pulled[..., None])[..., 0],
            decrement=float(slope @ vector + (reduced.position_slopes * alone).sum()),
        )


def _learned(state: State, step: Step, iteration: int) -> State:
    """With variances by the covariance of a step."""
    problem, prior = state.problem, state.problem.prior
    if problem.free.size < _LEARN_ALL or iteration % _LEARN_EVERY == 1:
        prior = prior.learned(state.vector, np.diag(inverse(step.factor)))
    if problem.free.particles:
        prior = _averaging_learned(state, prior)
        away = replace(problem, prior=prior).averaged(state.vector, state.displacement)
        prior = prior.position_learned(away, np.trace(step.reduced.blocks, axis1=1, axis2=2))
    if iteration in _LEARN_MOTIONS and problem.moving is not None:
        known = step.reduced.normal, step.reduced.slope
        prior = learn_motion_variances(prior, problem.moving, known, step.start)
    return replace(state, problem=replace(problem, prior=prior))


def _averaging_learned(state: State, known: Prior) -> Prior:
    """What the given positions are averages of: by the plane of the first image."""
    problem, modes = state.problem, state.problem.moving
    if modes is None:
        return known
    first = int(np.argmin(np.abs(modes.time).sum(axis=1)))
    plane = problem.model.projections[first, :2, :3].T
    averages = modes.averages(state.vector[problem.free.motion]) @ plane
    away = problem.averaged(state.vector, state.displacement)
    weights = state.found.weights * known.position_terms(away)[2]
    shared = float((weights[:, None] * averages * (state.displacement @ plane)).sum())
    size = float((weights[:, None] * averages**2).sum())
    averaging = known.averaging if size <= 0 else float(np.clip(-shared / size, 0.0, 1.0))
    return replace(known, averaging=averaging)


def with_noise(state: State, data: Array) -> State:
    """Learn amplitudes and what a bad particle gains; evaluate again."""
    found, problem = state.found, state.problem
    weights = np.maximum(found.weights, 1e-6)
    known = data / weights[:, None, None] * problem.prior.position_variance
    noise = Noise(
        amplitude=amplitudes(found.values, problem.splines.energy, found.weights),
        occam=0.5 * np.linalg.slogdet(np.eye(3) + known)[1],
        bad=float(np.clip(1 - found.weights.mean() if len(weights) else 0.0, *_BAD)),
    )
    parameters = problem.parameters(state.vector, state.displacement)
    return replace(state, noise=noise, found=evaluate(problem, parameters, noise))


def _line_search(state: State, by_vector: Array, by_position: Array) -> tuple[State, bool]:
    """The first of ever shorter steps that makes the objective larger."""
    problem = state.problem
    before = penalised(problem, state.found, state.vector, state.displacement)
    for length in (1.0, 0.5, 0.2, 0.05):
        vector, displacement = (
            state.vector + length * by_vector,
            state.displacement + length * by_position,
        )
        found = evaluate(problem, problem.parameters(vector, displacement), state.noise)
        if penalised(problem, found, vector, displacement) >= before:
            return replace(state, vector=vector, displacement=displacement, found=found), True
    return state, False

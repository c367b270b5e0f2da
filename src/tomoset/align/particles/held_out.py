"""How well an alignment predicts particles that had no part in it.

Particles are dealt into folds. The tilt images are aligned without one fold; each of its particles
is located by all tilt images but one, whose log-likelihood at that position is what counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, solved
from tomoset.align.particles.likelihood import Evaluation, Noise, Problem, evaluate
from tomoset.align.particles.model import Projected, project
from tomoset.align.particles.newton import State, build, curvature, reduce
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_FOLDS = 5
#: Of fewer particles, nobody can tell how much they scatter.
_FEWEST = 3
#: Steps by which a particle is located.
_STEPS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Log-likelihoods of particles that were left out.

    Parameters
    ----------
    new, old : (n_tilts, n_particles) arrays
        With the camera that the others give, and with that of before.
    weights : (n_particles,) array
        Probabilities that particles are good.
    """

    new: Array
    old: Array
    weights: Array

    def by_tilt(self) -> tuple[Array, Array]:
        """What the new camera of each tilt image gains, and the standard error: (n_tilts,)."""
        return _sums(((self.new - self.old) * self.weights).T)

    def over(self, other: Predicted) -> tuple[float, float]:
        """What this model gains over another, and the standard error."""
        gain, error = _sums(((self.new - other.new).sum(axis=0) * other.weights)[:, None])
        return float(gain[0]), float(error[0])


def _sums(values: Array) -> tuple[Array, Array]:
    """Sums down the columns, and their standard errors: infinite for hardly any values."""
    if len(values) < _FEWEST:
        return values.sum(axis=0), np.full(values.shape[1], np.inf)
    apart = values - values.mean(axis=0)
    spread = len(values) / (len(values) - 1)
    return values.sum(axis=0), np.sqrt((apart**2).sum(axis=0) * spread)


def held_out(state: State, given: Array) -> Predicted:
    """Leave every particle out in turn, fold by fold, with one step of the fit for each.

    Parameters
    ----------
    state : State
    given : (n_tilts, 4, 4) array
        Projections of before, in the frame of the fit.
    """
    problem, count = state.problem, len(state.displacement)
    shape = state.found.values.shape
    new, old = np.zeros(shape), np.zeros(shape)
    with one_thread():
        system = build(problem, state.found, state.noise)
        reduced = reduce(system, problem, state.vector, state.displacement)
        _, expected, stiff = problem.prior.terms(state.vector)
        # Dealt in a fixed order that has nothing to do with where they are.
        folds = np.random.default_rng(0).permutation(count) % _FOLDS
        for fold in range(_FOLDS):
            which = np.flatnonzero(folds == fold)
            if not len(which):
                continue
            part, found = _of(problem, which), _of_found(state.found, which)
            noise = state.noise.of(which)
            less = reduce(build(part, found, noise), part, state.vector, state.displacement[which])
            factor = factored(reduced.normal - less.normal, stiff)
            step = solved(factor, reduced.slope - less.slope + expected)
            vector = state.vector + step
            new[:, which], old[:, which] = _asked(
                part, given, (vector, state.displacement[which]), noise
            )
    return Predicted(new=new, old=old, weights=state.found.weights)


def _of(problem: Problem, which: Index) -> Problem:
    held = replace(problem.held, displacement=problem.held.displacement[which])
    splines = problem.splines.of_particles(which)
    return replace(problem, model=problem.model.of(which), splines=splines, held=held)


def _of_found(found: Evaluation, which: Index) -> Evaluation:
    projected = found.projected
    return replace(
        found,
        projected=Projected(
            cameras=projected.cameras,
            levers=projected.levers[:, which],
            positions=projected.positions[:, which],
            offsets=projected.offsets[:, which],
            jacobian=None if projected.jacobian is None else projected.jacobian[:, which],
        ),
        weights=found.weights[which],
        slopes=found.slopes[:, which],
    )


def _asked(
    problem: Problem, given: Array, state: tuple[Array, Array], noise: Noise
) -> tuple[Array, Array]:
    """Log-likelihoods of positions by all tilt images but the one: new cameras, and old ones."""
    vector, displacement = state
    for _ in range(_STEPS):
        found = evaluate(problem, problem.parameters(vector, displacement), noise)
        slopes, data = _by_tilt(problem, found, noise, problem.averaged(vector, displacement))
        if problem.free.particles:
            step = np.linalg.solve(data.sum(axis=0), slopes.sum(axis=0)[..., None])[..., 0]
            # Half the wavelength of a peak at most: a bad particle has no peak to go to.
            displacement = displacement + np.clip(step, -2.0, 2.0)
    parameters = problem.parameters(vector, displacement)
    found = evaluate(problem, parameters, noise)
    slopes, data = _by_tilt(problem, found, noise, problem.averaged(vector, displacement))
    without = data.sum(axis=0) - data[:-1]
    side = slopes.sum(axis=0) - slopes[:-1]
    shift = np.clip(np.linalg.solve(without, side[..., None]), -2.0, 2.0)
    if not problem.free.particles:
        shift = np.zeros(shift.shape)
    before = replace(parameters, tilt=0 * parameters.tilt, common=0 * parameters.common)
    model = replace(problem.model, projections=given)
    return (
        _likelihood(problem, found.projected, shift, noise),
        _likelihood(problem, project(model, problem.free, before), shift, noise),
    )


def _by_tilt(problem: Problem, found: Evaluation, noise: Noise, away: Array) -> tuple[Array, Array]:
    """Slopes and information of each tilt image on positions, and of the prior last."""
    projected = found.projected
    by_voxel = np.stack([projected.by_voxel(t) for t in range(len(found.slopes))])
    transposed = np.swapaxes(by_voxel, 2, 3)
    slopes = (transposed @ found.slopes[..., None])[..., 0]
    data = transposed @ curvature(problem, found, noise) @ by_voxel
    _, expected, stiff = problem.prior.position_terms(away)
    prior = stiff[None, :, None, None] * np.eye(3)
    return np.concatenate([slopes, expected[None]]), np.concatenate([data, prior])


def _likelihood(problem: Problem, projected: Projected, shift: Array, noise: Noise) -> Array:
    displacement = np.stack([(projected.by_voxel(t) @ by)[..., 0] for t, by in enumerate(shift)])
    offsets = projected.offsets + displacement
    s = noise.amplitude[:, None]
    lost, _ = problem.splines.restraint(offsets)
    return np.asarray(
        s * problem.splines.values(offsets)[0] - s**2 / 2 * problem.splines.energy + lost
    )

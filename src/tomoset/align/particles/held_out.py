"""How well an alignment predicts particles that had no part in it.

Particles are dealt into folds. The tilt images are aligned without one fold; each of its particles
is placed by all tilt images but one, and that one is asked how likely it finds the place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, solved
from tomoset.align.particles.likelihood import Evaluation, Noise, Problem, evaluate
from tomoset.align.particles.model import View, view
from tomoset.align.particles.newton import Rest, build, curvature, reduce
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_FOLDS = 5
#: Of fewer particles, nobody can tell how much they scatter.
_FEWEST = 3
#: Steps by which a particle finds its place.
_STEPS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Log-likelihoods of particles that were left out.

    Parameters
    ----------
    new, old : (n_tilts, n_particles) arrays
        With the camera that the others say, and with that of before.
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


def held_out(rest: Rest, given: Array) -> Predicted:
    """Leave every particle out in turn, fold by fold, with one step of the fit for each.

    Parameters
    ----------
    rest : Rest
    given : (n_tilts, 4, 4) array
        Projections of before, in the frame of the fit.
    """
    problem, count = rest.problem, len(rest.moved)
    shape = rest.found.values.shape
    new, old = np.zeros(shape), np.zeros(shape)
    with one_thread():
        system = build(problem, rest.found, rest.noise)
        reduced = reduce(system, problem, rest.vector, rest.moved)
        _, expected, stiff = problem.prior.terms(rest.vector)
        # Dealt in a fixed order that has nothing to do with where they are.
        folds = np.random.default_rng(0).permutation(count) % _FOLDS
        for fold in range(_FOLDS):
            rows = np.flatnonzero(folds == fold)
            if not len(rows):
                continue
            part, found = _of(problem, rows), _of_found(rest.found, rows)
            noise = rest.noise.of(rows)
            less = reduce(build(part, found, noise), part, rest.vector, rest.moved[rows])
            factor = factored(reduced.normal - less.normal, stiff)
            step = solved(factor, reduced.slope - less.slope + expected)
            vector = rest.vector + step
            new[:, rows], old[:, rows] = _asked(part, given, (vector, rest.moved[rows]), noise)
    return Predicted(new=new, old=old, weights=rest.found.weights)


def _of(problem: Problem, rows: Index) -> Problem:
    held = replace(problem.held, moved=problem.held.moved[rows])
    surface = problem.surface.of_rows(rows)
    return replace(problem, model=problem.model.of(rows), surface=surface, held=held)


def _of_found(found: Evaluation, rows: Index) -> Evaluation:
    seen = found.seen
    return replace(
        found,
        seen=View(
            cameras=seen.cameras,
            arms=seen.arms[:, rows],
            places=seen.places[:, rows],
            offsets=seen.offsets[:, rows],
            stretch=None if seen.stretch is None else seen.stretch[:, rows],
        ),
        weights=found.weights[rows],
        slopes=found.slopes[:, rows],
    )


def _asked(
    problem: Problem, given: Array, state: tuple[Array, Array], noise: Noise
) -> tuple[Array, Array]:
    """Log-likelihoods of places by all tilt images but the one: new cameras, and old ones."""
    vector, moved = state
    for _ in range(_STEPS):
        found = evaluate(problem, problem.numbers(vector, moved), noise)
        slopes, data = _by_tilt(problem, found, noise, problem.anchored(vector, moved))
        if problem.free.particles:
            step = np.linalg.solve(data.sum(axis=0), slopes.sum(axis=0)[..., None])[..., 0]
            # Half the wavelength of a peak at most: a bad particle has no peak to go to.
            moved = moved + np.clip(step, -2.0, 2.0)
    numbers = problem.numbers(vector, moved)
    found = evaluate(problem, numbers, noise)
    slopes, data = _by_tilt(problem, found, noise, problem.anchored(vector, moved))
    without = data.sum(axis=0) - data[:-1]
    side = slopes.sum(axis=0) - slopes[:-1]
    shift = np.clip(np.linalg.solve(without, side[..., None]), -2.0, 2.0)
    if not problem.free.particles:
        shift = np.zeros(shift.shape)
    before = replace(numbers, tilt=0 * numbers.tilt, common=0 * numbers.common)
    model = replace(problem.model, projections=given)
    return (
        _likelihood(problem, found.seen, shift, noise),
        _likelihood(problem, view(model, problem.free, before), shift, noise),
    )


def _by_tilt(problem: Problem, found: Evaluation, noise: Noise, away: Array) -> tuple[Array, Array]:
    """Slopes and information of each tilt image on places, and of the prior last."""
    seen = found.seen
    by_voxel = np.stack([seen.by_voxel(t) for t in range(len(found.slopes))])
    turned = np.swapaxes(by_voxel, 2, 3)
    slopes = (turned @ found.slopes[..., None])[..., 0]
    data = turned @ curvature(problem, found, noise) @ by_voxel
    _, expected, stiff = problem.prior.place_terms(away)
    prior = stiff[None, :, None, None] * np.eye(3)
    return np.concatenate([slopes, expected[None]]), np.concatenate([data, prior])


def _likelihood(problem: Problem, seen: View, shift: Array, noise: Noise) -> Array:
    moved = np.stack([(seen.by_voxel(t) @ by)[..., 0] for t, by in enumerate(shift)])
    offsets = seen.offsets + moved
    s = noise.amplitude[:, None]
    lost, _ = problem.surface.pull(offsets)
    return np.asarray(
        s * problem.surface.values(offsets)[0] - s**2 / 2 * problem.surface.energy + lost
    )

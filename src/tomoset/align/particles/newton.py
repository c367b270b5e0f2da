"""Steps of Fisher scoring, the places of particles eliminated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, inverse, solved
from tomoset.align.particles.freedom import Prior
from tomoset.align.particles.likelihood import (
    Evaluation,
    Noise,
    Problem,
    amplitudes,
    evaluate,
    penalised,
)
from tomoset.align.particles.model import design
from tomoset.align.particles.motion_evidence import learn_courses
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: The fit is at rest when the squares of steps, over variances, are so small on average.
_REST = 1e-3
#: With so many, what is expected of them is learned in every third step only.
_LEARN_ALL, _LEARN_EVERY = 2000, 3
#: Steps in which it is learned how particles move.
_LEARN_COURSES = (1, 3, 6, 10, 15)
#: Bounds of the fraction of bad particles.
_BAD = (0.01, 0.3)


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """Information of the windows on everything, and slopes; the prior's part apart.

    Parameters
    ----------
    normal : (size, size) array
        Of the free numbers.
    cross : (size, n_particles, 3) array
    data : (n_particles, 3, 3) array
        Of places.
    slope : (size,) array
    place_slope : (n_particles, 3) array
    """

    normal: Array
    cross: Array
    data: Array
    slope: Array
    place_slope: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """What is left of a system when places follow the free numbers.

    Parameters
    ----------
    normal : (size, size) array
    slope : (size,) array
    cross : (size, n_particles, 3) array
        As of the system, with the prior's part.
    blocks : (n_particles, 3, 3) array
        Covariances of places if the free numbers were known.
    places : (n_particles, 3) array
        Slopes by places, with their prior.
    """

    normal: Array
    slope: Array
    cross: Array
    blocks: Array
    places: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Rest:
    """Where a fit came to rest."""

    problem: Problem
    vector: Array
    moved: Array
    noise: Noise
    found: Evaluation


def curvature(problem: Problem, found: Evaluation, noise: Noise) -> Array:
    """Information on every offset: (n_tilts, n_particles, 2, 2) [1/px²]."""
    factor = noise.amplitude[:, None] ** 2 * found.weights
    return np.asarray(factor[..., None, None] * problem.surface.information)


def build(problem: Problem, found: Evaluation, noise: Noise) -> System:
    """Information and slopes of all that has been evaluated."""
    free, modes = problem.free, problem.moving
    size, count = free.size, found.slopes.shape[1]
    normal, slope = np.zeros((size, size)), np.zeros(size)
    cross = np.zeros((size, count, 3))
    weight = curvature(problem, found, noise)
    data, slopes_by_place = np.zeros((*weight.shape[:2], 3, 3)), np.zeros((*weight.shape[:2], 3))
    for t in range(len(weight)):
        slopes, which = design(problem.model, free, found.seen, t)
        by_voxel = found.seen.by_voxel(t)
        heavy = weight[t] @ slopes
        flat, weighted = (x.reshape(2 * count, len(which)) for x in (slopes, heavy))
        normal[np.ix_(which, which)] += flat.T @ weighted
        slope[which] += flat.T @ found.slopes[t].ravel()
        turned = np.swapaxes(by_voxel, 1, 2)
        shared = np.swapaxes(heavy, 1, 2) @ by_voxel
        cross[which] += shared.transpose(1, 0, 2)
        data[t] = turned @ weight[t] @ by_voxel
        slopes_by_place[t] = (turned @ found.slopes[t][..., None])[..., 0]
        if modes is not None and len(which):
            mixed = modes.with_others(t, shared).reshape(len(which), -1)
            normal[np.ix_(which, free.motion.ravel())] += mixed
            normal[np.ix_(free.motion.ravel(), which)] += mixed.T
    if modes is not None:
        of = free.motion.ravel()
        normal[np.ix_(of, of)] += modes.normal(data).reshape(len(of), len(of))
        slope[of] += modes.slope(slopes_by_place).ravel()
        cross[of] += modes.cross(data).reshape(len(of), count, 3)
    return System(
        normal=normal,
        cross=cross,
        data=data.sum(axis=0),
        slope=slope,
        place_slope=slopes_by_place.sum(axis=0),
    )


def reduce(system: System, problem: Problem, vector: Array, moved: Array) -> Reduced:
    """Eliminate the places of particles, with what is expected of them."""
    if not problem.free.particles or not len(moved):
        return Reduced(
            normal=system.normal,
            slope=system.slope,
            cross=system.cross,
            blocks=np.zeros((len(moved), 3, 3)),
            places=np.zeros(moved.shape),
        )
    _, expected, stiff = problem.prior.place_terms(problem.anchored(vector, moved))
    system = _anchored(system, problem, expected, stiff)
    blocks = np.asarray(np.linalg.inv(system.data + stiff[:, None, None] * np.eye(3)))
    places = system.place_slope + expected
    root = np.linalg.cholesky(blocks)
    half = (system.cross.transpose(1, 0, 2) @ root).transpose(1, 0, 2)
    flat = half.reshape(len(half), 3 * len(moved))
    known = (np.swapaxes(root, 1, 2) @ places[..., None]).ravel()
    return Reduced(
        normal=system.normal - flat @ flat.T,
        slope=system.slope - flat @ known,
        cross=system.cross,
        blocks=blocks,
        places=places,
    )


def _anchored(system: System, problem: Problem, expected: Array, stiff: Array) -> System:
    """With what the prior of places, where they average motions, says of these."""
    modes, anchor = problem.anchoring, problem.prior.anchor
    if modes is None:
        return system
    of = problem.free.motion.ravel()
    normal, slope, cross = system.normal.copy(), system.slope.copy(), system.cross.copy()
    by_itself = anchor**2 * modes.averages_normal(stiff)
    normal[np.ix_(of, of)] += by_itself.reshape(len(of), len(of))
    slope[of] += anchor * modes.averages_slope(expected).ravel()
    shared = anchor * stiff[:, None] * modes.averages_reach()
    cross[of] += shared.reshape(len(of), *cross.shape[1:])
    return replace(system, normal=normal, slope=slope, cross=cross)


def climb(rest: Rest, iterations: int) -> Rest:
    """Go on from a state to the nearest most likely one, learning what to expect on the way."""
    with one_thread():
        for turn in range(iterations):
            step = Step.of(rest)
            rest, better = _along(rest, step.vector, step.moved)
            if not better:
                return rest
            if turn > 0:
                rest = _learned(rest, step, turn)
            rest = settled(rest, step.system.data)
            if step.promised < _REST * (len(rest.vector) + rest.moved.size):
                break
        # What was learned last is followed.
        step = Step.of(rest)
        rest, _ = _along(rest, step.vector, step.moved)
        return settled(rest, step.system.data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """From where a fit stands to where it would be best, were everything linear.

    Parameters
    ----------
    system : System
    reduced : Reduced
    factor : tuple
        Of the information on the free numbers and their prior.
    start : (size,) array
        The free numbers from which it leads.
    vector : (size,) array
    moved : (n_particles, 3) array
        The step.
    promised : float
        The square of the step, over variances.
    """

    system: System
    reduced: Reduced
    factor: tuple[Array, bool]
    start: Array
    vector: Array
    moved: Array
    promised: float

    @classmethod
    def of(cls, rest: Rest) -> Step:
        """From a state."""
        problem = rest.problem
        system = build(problem, rest.found, rest.noise)
        reduced = reduce(system, problem, rest.vector, rest.moved)
        _, expected, stiff = problem.prior.terms(rest.vector)
        factor = factored(reduced.normal, stiff)
        slope = reduced.slope + expected
        vector = solved(factor, slope)
        pulled = reduced.places - np.tensordot(vector, reduced.cross, axes=1)
        alone = (reduced.blocks @ reduced.places[..., None])[..., 0]
        return cls(
            system=system,
            reduced=reduced,
            factor=factor,
            start=rest.vector,
            vector=vector,
            moved=(reduced.blocks @ pulled[..., None])[..., 0],
            promised=float(slope @ vector + (reduced.places * alone).sum()),
        )


def _learned(rest: Rest, step: Step, turn: int) -> Rest:
    """With what a step has shown of what to expect."""
    problem, prior = rest.problem, rest.problem.prior
    if problem.free.size < _LEARN_ALL or turn % _LEARN_EVERY == 1:
        prior = prior.learned(rest.vector, np.diag(inverse(step.factor)))
    if problem.free.particles:
        prior = _anchor_learned(rest, prior)
        away = replace(problem, prior=prior).anchored(rest.vector, rest.moved)
        prior = prior.place_learned(away, np.trace(step.reduced.blocks, axis1=1, axis2=2))
    if turn in _LEARN_COURSES and problem.moving is not None:
        known = step.reduced.normal, step.reduced.slope
        prior = learn_courses(prior, problem.moving, known, step.start)
    return replace(rest, problem=replace(problem, prior=prior))


def _anchor_learned(rest: Rest, known: Prior) -> Prior:
    """What the places that were given are: by the plane in which the first image shows them."""
    problem, modes = rest.problem, rest.problem.moving
    if modes is None:
        return known
    first = int(np.argmin(np.abs(modes.time).sum(axis=1)))
    plane = problem.model.projections[first, :2, :3].T
    averages = modes.averages(rest.vector[problem.free.motion]) @ plane
    away = problem.anchored(rest.vector, rest.moved)
    weights = rest.found.weights * known.place_terms(away)[2]
    shared = float((weights[:, None] * averages * (rest.moved @ plane)).sum())
    size = float((weights[:, None] * averages**2).sum())
    anchor = known.anchor if size <= 0 else float(np.clip(-shared / size, 0.0, 1.0))
    return replace(known, anchor=anchor)


def settled(rest: Rest, data: Array) -> Rest:
    """Learn amplitudes and what a bad particle gains; evaluate again."""
    found, problem = rest.found, rest.problem
    weights = np.maximum(found.weights, 1e-6)
    known = data / weights[:, None, None] * problem.prior.place
    noise = Noise(
        amplitude=amplitudes(found.values, problem.surface.energy, found.weights),
        price=0.5 * np.linalg.slogdet(np.eye(3) + known)[1],
        bad=float(np.clip(1 - found.weights.mean() if len(weights) else 0.0, *_BAD)),
    )
    numbers = problem.numbers(rest.vector, rest.moved)
    return replace(rest, noise=noise, found=evaluate(problem, numbers, noise))


def _along(rest: Rest, by_vector: Array, by_place: Array) -> tuple[Rest, bool]:
    """The first of ever shorter steps that makes the objective larger."""
    problem = rest.problem
    before = penalised(problem, rest.found, rest.vector, rest.moved)
    for length in (1.0, 0.5, 0.2, 0.05):
        vector, moved = rest.vector + length * by_vector, rest.moved + length * by_place
        found = evaluate(problem, problem.numbers(vector, moved), rest.noise)
        if penalised(problem, found, vector, moved) >= before:
            return replace(rest, vector=vector, moved=moved, found=found), True
    return rest, False

"""Steps of Fisher scoring, the places of particles eliminated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.likelihood import (
    Evaluation,
    Noise,
    Problem,
    amplitudes,
    evaluate,
    penalised,
)
from tomoset.align.particles.model import design
from tomoset.blas import one_thread

Array = npt.NDArray[np.float64]

#: What a step must promise the objective, or the fit is at rest.
_REST = 0.3
#: With so many, what is expected of them is learned in every third step only.
_LEARN_ALL, _LEARN_EVERY = 2000, 3
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
    blocks : (n_particles, 3, 3) array
        Covariances of places if the free numbers were known.
    places : (n_particles, 3) array
        Slopes by places, with their prior.
    """

    normal: Array
    slope: Array
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
    free, modes = problem.free, problem.model.modes
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
        if free.moving and modes is not None and len(which):
            mixed = modes.with_others(t, shared).reshape(len(which), -1)
            normal[np.ix_(which, free.motion.ravel())] += mixed
            normal[np.ix_(free.motion.ravel(), which)] += mixed.T
    if free.moving and modes is not None:
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


def reduce(system: System, problem: Problem, moved: Array) -> Reduced:
    """Eliminate the places of particles, with what is expected of them."""
    if not problem.free.particles or not len(moved):
        nothing = np.zeros((len(moved), 3, 3))
        return Reduced(
            normal=system.normal, slope=system.slope, blocks=nothing, places=np.zeros(moved.shape)
        )
    _, expected, stiff = problem.prior.place_terms(moved)
    blocks = np.asarray(np.linalg.inv(system.data + stiff[:, None, None] * np.eye(3)))
    places = system.place_slope + expected
    root = np.linalg.cholesky(blocks)
    half = (system.cross.transpose(1, 0, 2) @ root).transpose(1, 0, 2)
    flat = half.reshape(len(half), 3 * len(moved))
    known = (np.swapaxes(root, 1, 2) @ places[..., None]).ravel()
    return Reduced(
        normal=system.normal - flat @ flat.T,
        slope=system.slope - flat @ known,
        blocks=blocks,
        places=places,
    )


def factored(normal: Array, stiff: Array) -> tuple[Array, bool]:
    """Cholesky factor of information and prior together, as `scipy.linalg.cho_factor` has it."""
    from scipy.linalg import cho_factor

    matrix = normal + np.diag(stiff)
    if not len(matrix):
        return matrix, True
    # Rounding may leave a direction that places make up for a little below 0.
    matrix[np.diag_indices_from(matrix)] *= 1 + 1e-10
    factor, lower = cho_factor(matrix, lower=True, check_finite=False)
    return factor, bool(lower)


def solved(factor: tuple[Array, bool], side: Array) -> Array:
    """The matrix' inverse times `side`."""
    from scipy.linalg import cho_solve

    return np.asarray(cho_solve(factor, side, check_finite=False)) if len(side) else side


def inverse(factor: tuple[Array, bool]) -> Array:
    """The inverse of the matrix that was factored."""
    from scipy.linalg.lapack import dpotri

    if not len(factor[0]):
        return np.zeros((0, 0))
    lower = np.tril(dpotri(factor[0], lower=1)[0])
    return np.asarray(lower + np.tril(lower, -1).T)


def climb(rest: Rest, iterations: int) -> Rest:
    """Go on from a state to the nearest most likely one, learning what to expect on the way."""
    with one_thread():
        for turn in range(iterations):
            rest, gain = _step(rest, turn)
            if gain < _REST:
                break
    return rest


def _step(rest: Rest, turn: int) -> tuple[Rest, float]:
    """One step, and what it promised."""
    problem, noise = rest.problem, rest.noise
    system = build(problem, rest.found, noise)
    reduced = reduce(system, problem, rest.moved)
    _, expected, stiff = problem.prior.terms(rest.vector)
    factor = factored(reduced.normal, stiff)
    slope = reduced.slope + expected
    by_vector = solved(factor, slope)
    pulled = reduced.places - np.tensordot(by_vector, system.cross, axes=1)
    by_place = (reduced.blocks @ pulled[..., None])[..., 0]
    gain = float(
        slope @ by_vector
        + (reduced.places * (reduced.blocks @ reduced.places[..., None])[..., 0]).sum()
    )
    rest, better = _along(rest, by_vector, by_place)
    if not better:
        return rest, 0.0
    size = problem.free.size
    if turn > 0 and (size < _LEARN_ALL or turn % _LEARN_EVERY == 1):
        spread = np.diag(inverse(factor))
        learned = problem.prior.learned(rest.vector, spread)
        if problem.free.particles:
            traces = np.trace(reduced.blocks, axis1=1, axis2=2)
            learned = learned.place_learned(rest.moved, traces)
        problem = replace(problem, prior=learned)
    return settled(replace(rest, problem=problem), system.data), gain


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

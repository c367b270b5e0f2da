"""How well parameters explain the windows: a likelihood that bad particles do not spoil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.freedom import Freedom, Parameters, Prior
from tomoset.align.particles.model import Model, View, design, view
from tomoset.align.particles.motion import Modes
from tomoset.align.particles.surface import Surface

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: How much the amplitude of one tilt image differs from that of all, beforehand.
_SPREAD = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What windows show but for places.

    Parameters
    ----------
    amplitude : (n_tilts,) array
        Of what is seen over what is predicted.
    price : (n_particles,) array
        Log of what fitting its place gains a particle that is not there: taken off its evidence.
    bad : float
        Fraction of particles that are not where they are said to be.
    """

    amplitude: Array
    price: Array
    bad: float

    def of(self, rows: Index) -> Noise:
        """Of some particles only."""
        return Noise(amplitude=self.amplitude, price=self.price[rows], bad=self.bad)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """All that a fit of one model works with."""

    model: Model
    surface: Surface
    free: Freedom
    prior: Prior
    held: Parameters

    def numbers(self, vector: Array, moved: Array) -> Parameters:
        """All parameters, of the free ones."""
        return self.free.unpack(vector, moved, self.held)

    @property
    def moving(self) -> Modes | None:
        """The modes of motion, where particles may move."""
        return self.model.modes if self.free.moving else None

    def anchored(self, vector: Array, moved: Array) -> Array:
        """How far particles are from where they were said to be, by the prior: (n, 3) [voxels]."""
        if self.anchoring is None:
            return moved
        return moved + self.prior.anchor * self.anchoring.averages(vector[self.free.motion])

    @property
    def anchoring(self) -> Modes | None:
        """The modes of motion, where places that were given say something of them."""
        return self.moving if self.free.particles and self.prior.anchor != 0 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A likelihood, and its slopes in the images.

    Parameters
    ----------
    seen : View
    values : (n_tilts, n_particles) array
        Of the windows.
    each : (n_tilts, n_particles) array
        Log-likelihood ratios against nothing being there.
    evidence, weights : (n_particles,) arrays
        Sums of these less the price, and the probabilities that a particle is good.
    total : float
        Of all particles.
    slopes : (n_tilts, n_particles, 2) array
        Of `total` by the offsets.
    """

    seen: View
    values: Array
    each: Array
    evidence: Array
    weights: Array
    total: float
    slopes: Array


def evaluate(problem: Problem, numbers: Parameters, noise: Noise) -> Evaluation:
    """Look all particles up in their windows."""
    seen = view(problem.model, problem.free, numbers)
    surface, s = problem.surface, noise.amplitude[:, None]
    values, slopes = surface.values(seen.offsets)
    lost, pulled = surface.pull(seen.offsets)
    each = s * values - s**2 / 2 * surface.energy + lost
    evidence = each.sum(axis=0) - noise.price
    good, bad = np.log1p(-noise.bad) + evidence, np.log(noise.bad)
    total = np.logaddexp(good, bad)
    weights = np.exp(good - total)
    return Evaluation(
        seen=seen,
        values=values,
        each=each,
        evidence=evidence,
        weights=weights,
        total=float(total.sum()),
        slopes=weights[:, None] * (s[..., None] * slopes + pulled),
    )


def objective(
    problem: Problem, vector: Array, moved: Array, noise: Noise
) -> tuple[float, Array, Array]:
    """Log-likelihood and prior together, and the gradient by the free numbers and by places.

    Parameters
    ----------
    problem : Problem
    vector : (size,) array
    moved : (n_particles, 3) array
        [voxels]
    noise : Noise

    Returns
    -------
    total : float
    by_number : (size,) float64 array
    by_place : (n_particles, 3) float64 array
    """
    found = evaluate(problem, problem.numbers(vector, moved), noise)
    expected, by_number, _ = problem.prior.terms(vector)
    place, by_place, _ = problem.prior.place_terms(problem.anchored(vector, moved))
    if problem.anchoring is not None:
        by_average = problem.prior.anchor * by_place
        by_number[problem.free.motion] += problem.anchoring.averages_slope(by_average)
    reached = np.zeros((*found.slopes.shape[:2], 3))
    for t in range(len(found.slopes)):
        slopes, which = design(problem.model, problem.free, found.seen, t)
        by_number[which] += np.einsum("pif,pi->f", slopes, found.slopes[t], optimize=True)
        reached[t] = np.einsum("pij,pi->pj", found.seen.by_voxel(t), found.slopes[t], optimize=True)
    by_place = by_place + reached.sum(axis=0)
    if problem.moving is not None:
        by_number[problem.free.motion] += problem.moving.slope(reached)
    return found.total + expected + place, by_number, by_place


def penalised(problem: Problem, found: Evaluation, vector: Array, moved: Array) -> float:
    """Log-likelihood and prior of what has been evaluated."""
    place = problem.prior.place_terms(problem.anchored(vector, moved))[0]
    return found.total + problem.prior.terms(vector)[0] + place


def amplitudes(values: Array, energy: Array, weights: Array) -> Array:
    """The most likely amplitude of each tilt image, drawn towards that of all.

    Parameters
    ----------
    values, energy : (n_tilts, n_particles) arrays
        At the fitted places.
    weights : (n_particles,) array
        Probabilities that particles are good.
    """
    seen, power = values @ weights, energy @ weights
    mean = max(float(seen.sum()) / max(float(power.sum()), 1e-12), 1e-2)
    strength = 1 / (_SPREAD * mean) ** 2
    return np.asarray(np.maximum((seen + strength * mean) / (power + strength), 1e-3 * mean))

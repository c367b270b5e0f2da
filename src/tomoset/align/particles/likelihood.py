"""The likelihood of parameters, robust against particles that are not there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.free_parameters import FreeParameters, Parameters, Prior
from tomoset.align.particles.model import Model, Projected, design, project
from tomoset.align.particles.motion import Modes
from tomoset.align.particles.splines import CorrelationSplines

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: How much the amplitude of one tilt image differs from that of all, beforehand.
_SPREAD = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What is seen besides positions: amplitudes, and particles that are not there.

    Parameters
    ----------
    amplitude : (n_tilts,) array
        Of what is seen over what is predicted.
    occam : (n_particles,) array
        Log of what fitting its position gains a particle that is not there (Occam factor).
    bad : float
        Fraction of particles that are not where they are expected.
    """

    amplitude: Array
    occam: Array
    bad: float

    def of(self, which: Index) -> Noise:
        """Of some particles only."""
        return Noise(amplitude=self.amplitude, occam=self.occam[which], bad=self.bad)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """All that a fit of one model works with."""

    model: Model
    splines: CorrelationSplines
    free: FreeParameters
    prior: Prior
    held: Parameters

    def parameters(self, vector: Array, displacement: Array) -> Parameters:
        """All parameters, of the free ones."""
        return self.free.unpack(vector, displacement, self.held)

    @property
    def moving(self) -> Modes | None:
        """The modes of motion, where motion is free."""
        return self.model.modes if self.free.moving else None

    def averaged(self, vector: Array, displacement: Array) -> Array:
        """Displacements from given positions, which average over motions: (n, 3) [voxels]."""
        if self.averaged_modes is None:
            return displacement
        return displacement + self.prior.averaging * self.averaged_modes.averages(
            vector[self.free.motion]
        )

    @property
    def averaged_modes(self) -> Modes | None:
        """The modes of motion, where given positions are averages over them."""
        return self.moving if self.free.particles and self.prior.averaging != 0 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A likelihood, and its slopes in the images.

    Parameters
    ----------
    projected : Projected
    values : (n_tilts, n_particles) array
        Of the cross-correlations.
    each : (n_tilts, n_particles) array
        Log-likelihood ratios against nothing being there.
    log_likelihood_ratio, weights : (n_particles,) arrays
        Sums of these less the Occam factor, and the probabilities that a particle is good.
    total : float
        Of all particles.
    slopes : (n_tilts, n_particles, 2) array
        Of `total` by the offsets.
    """

    projected: Projected
    values: Array
    each: Array
    log_likelihood_ratio: Array
    weights: Array
    total: float
    slopes: Array


def evaluate(problem: Problem, parameters: Parameters, noise: Noise) -> Evaluation:
    """The likelihood of all particles, by the splines of their cross-correlations."""
    projected = project(problem.model, problem.free, parameters)
    splines, s = problem.splines, noise.amplitude[:, None]
    values, slopes = splines.values(projected.offsets)
    lost, restraining = splines.restraint(projected.offsets)
    each = s * values - s**2 / 2 * splines.energy + lost
    log_likelihood_ratio = each.sum(axis=0) - noise.occam
    good, bad = np.log1p(-noise.bad) + log_likelihood_ratio, np.log(noise.bad)
    total = np.logaddexp(good, bad)
    weights = np.exp(good - total)
    return Evaluation(
        projected=projected,
        values=values,
        each=each,
        log_likelihood_ratio=log_likelihood_ratio,
        weights=weights,
        total=float(total.sum()),
        slopes=weights[:, None] * (s[..., None] * slopes + restraining),
    )


def objective(
    problem: Problem, vector: Array, displacement: Array, noise: Noise
) -> tuple[float, Array, Array]:
    """Log-likelihood and prior together, and the gradient by the free parameters and positions.

    Parameters
    ----------
    problem : Problem
    vector : (size,) array
    displacement : (n_particles, 3) array
        [voxels]
    noise : Noise

    Returns
    -------
    total : float
    by_parameter : (size,) float64 array
    by_position : (n_particles, 3) float64 array
    """
    found = evaluate(problem, problem.parameters(vector, displacement), noise)
    expected, by_parameter, _ = problem.prior.terms(vector)
    position_term, by_position, _ = problem.prior.position_terms(
        problem.averaged(vector, displacement)
    )
    if problem.averaged_modes is not None:
        by_average = problem.prior.averaging * by_position
        by_parameter[problem.free.motion] += problem.averaged_modes.averages_slope(by_average)
    reached = np.zeros((*found.slopes.shape[:2], 3))
    for t in range(len(found.slopes)):
        slopes, which = design(problem.model, problem.free, found.projected, t)
        by_parameter[which] += np.einsum("pif,pi->f", slopes, found.slopes[t], optimize=True)
        reached[t] = np.einsum(
            "pij,pi->pj", found.projected.by_voxel(t), found.slopes[t], optimize=True
        )
    by_position = by_position + reached.sum(axis=0)
    if problem.moving is not None:
        by_parameter[problem.free.motion] += problem.moving.slope(reached)
    return found.total + expected + position_term, by_parameter, by_position


def penalised(problem: Problem, found: Evaluation, vector: Array, displacement: Array) -> float:
    """Log-likelihood and prior of what has been evaluated."""
    position_term = problem.prior.position_terms(problem.averaged(vector, displacement))[0]
    return found.total + problem.prior.terms(vector)[0] + position_term


def amplitudes(values: Array, energy: Array, weights: Array) -> Array:
    """The most likely amplitude of each tilt image, drawn towards that of all.

    Parameters
    ----------
    values, energy : (n_tilts, n_particles) arrays
        At the fitted positions.
    weights : (n_particles,) array
        Probabilities that particles are good.
    """
    signal, power = values @ weights, energy @ weights
    mean = max(float(signal.sum()) / max(float(power.sum()), 1e-12), 1e-2)
    strength = 1 / (_SPREAD * mean) ** 2
    return np.asarray(np.maximum((signal + strength * mean) / (power + strength), 1e-3 * mean))

"""Changes of defocus of all images of a series under one prior, and what tests them.

What `ctf_fit` puts together: likelihoods along a scan, Newton's steps, the prior that is learnt
from all images, and how far two groups of particles agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.particles.ctf.prior import Prior, learn, scan_prior
from tomoset.particles.ctf.scale import about_curve, fit_ice
from tomoset.particles.ctf.statistics import CtfStatistics

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A step of the scan changes the phase of the finest wave by so much at most [rad].
_STEP = 0.4
#: Rounds of a prior and changes, and halvings of a step.
_LEARN, _HALVINGS = 8, 6
#: B-factors by which the reference may promise more than images show [Å²].
_FADING = np.arange(-100.0, 1001.0, 50.0)
#: Errors are at most so many times what white noise makes them, and so many images tell it.
_MOST, _TELLING = 4.0, 6


@dataclass(frozen=True, eq=False)
class Estimate:
    """Changes of all images under one prior."""

    changes: Array
    covariance: Array
    prior: Prior
    information: Array
    pull: Array


def estimate(statistics: CtfStatistics, amplitude: Array, grid: Array, free: Mask) -> Estimate:
    """Changes by likelihood and prior, the prior being learnt from the same images."""
    n = statistics.n_tilts
    scan = np.zeros((n, len(grid)))
    rings = statistics.rings(float(np.abs(grid).max()))
    for t in range(n):
        scan[t] = rings.log_likelihood(t, _along(grid), amplitude[t])
    best, spread, far = scan_prior(scan, grid)
    changes = _along(best)
    H, b = np.zeros((n, 3, 3)), np.zeros((n, 3))
    for _ in range(_LEARN):
        for t in range(n):
            gradient, H[t] = statistics.derivatives(t, changes[t], float(amplitude[t]))
            b[t] = H[t] @ changes[t] + gradient
        prior = learn(H, b, far, free)
        for t in range(n):
            changes[t] = _step(statistics, t, float(amplitude[t]), (changes[t], H[t], b[t]), prior)
    changes[:, ~free] = 0.0
    covariance = np.array([_covariance(H[t], prior, t) for t in range(n)])
    # More where it may be far off, or its likelihood is no parabola.
    covariance[:, 0, 0] = np.maximum(covariance[:, 0, 0], spread**2)
    return Estimate(changes, covariance, prior, H, b)


def _step(
    statistics: CtfStatistics,
    t: int,
    amplitude: float,
    now: tuple[Array, Array, Array],
    prior: Prior,
) -> Array:
    """One step towards the most likely change, halved until it is one."""
    x, H, b = now
    mean, _, inverse = prior.of(t)
    target = np.linalg.solve(H + np.diag(inverse), b + inverse * mean)
    tried = x + (target - x) * 0.5 ** np.arange(_HALVINGS)[:, None]
    tried = np.concatenate([tried, x[None]])
    value = statistics.log_likelihood(t, tried, amplitude)
    value = value - ((tried - mean) ** 2 * inverse).sum(axis=1) / 2
    # Of steps that are better than none the longest: they are in the order of their length.
    better = np.flatnonzero(value[:-1] >= value[-1])
    return np.asarray(tried[better[0]] if len(better) else x)


def _covariance(H: Array, prior: Prior, t: int) -> Array:
    """Of a change: what its image and the prior leave open, the error of its mean included."""
    _, of_mean, inverse = prior.of(t)
    left = np.linalg.inv(H + np.diag(inverse))
    shared = left * inverse
    return np.asarray(left + shared @ of_mean @ shared.T)


def gains_of(groups: list[CtfStatistics], amplitude: Array, changes: list[Array]) -> Array:
    """By how much what one group says makes batches of the other more likely, both ways.

    Returns
    -------
    (n_tilts, n_batches) array
        Natural logarithms of likelihood.
    """
    gains = []
    for one, other in ((0, 1), (1, 0)):
        either = np.stack([changes[one], np.zeros_like(changes[one])], axis=1)
        for batch in groups[other].batches():
            each = zip(either, amplitude.tolist(), strict=True)
            likely = [batch.log_likelihood(t, both, a) for t, (both, a) in enumerate(each)]
            gains.append(-np.diff(likely)[:, 0])
    return np.stack(gains, axis=1)


def excess_of(halves: list[Estimate]) -> float:
    """By how much errors exceed those of white noise, as the two groups disagree."""
    alone = [h.information[:, 0, 0] > 0 for h in halves]
    known = alone[0] & alone[1]
    H = [h.information[known, 0, 0] for h in halves]
    first, second = (h.pull[known, 0] / own for h, own in zip(halves, H, strict=True))
    square = (first - second) ** 2 / (1 / H[0] + 1 / H[1])
    # Where an image says little its likelihood is no parabola, and tells nothing here.
    telling = np.argsort(H[0] + H[1])[::-1][: max(_TELLING, len(square) // 2)]
    if len(telling) < _TELLING:
        return 1.0
    return float(np.clip(np.sqrt(square[telling].mean()), 1.0, _MOST))


def _along(dz: Array) -> Array:
    """Changes (n, 3) of defocus alone."""
    return np.stack([dz, 0 * dz, 0 * dz], axis=-1)


def scan_grid(statistics: CtfStatistics, low: float, high: float, step: float) -> Array:
    """Changes that are scanned, none among them: no step jumps over what images tell apart."""
    most = float(np.abs(statistics.slopes[0]).max())
    step = min(step, _STEP / most)
    return np.asarray(step * np.arange(np.ceil(low / step), np.floor(high / step) + 1))


def first_guess(statistics: CtfStatistics, grid: Array) -> Array:
    """Where each image is by itself, whatever its amplitude."""
    scores = np.zeros((statistics.n_tilts, len(grid)))
    rings = statistics.rings(float(np.abs(grid).max()))
    for t in range(statistics.n_tilts):
        common, energy = rings.parts(t, _along(grid))
        scores[t] = np.maximum(common, 0) ** 2 / np.maximum(2 * energy, 1e-30)
    return _along(scan_prior(scores, grid)[0])


def fading_of(statistics: CtfStatistics, changes: Array) -> Array:
    """By how much more images fade towards fine waves than predictions do: for each wave."""
    k2 = statistics.x**2 + statistics.y**2
    common, energy = np.zeros(len(k2)), np.zeros(len(k2))
    phase = changes @ statistics.slopes
    for t in range(statistics.n_tilts):
        c, s = np.cos(phase[t]), np.sin(phase[t])
        sine, cosine = statistics.products[t].sum(axis=0)
        ss, sc, cc = statistics.powers[t].sum(axis=0)
        common += c * sine + s * cosine
        energy += c * c * ss + 2 * s * c * sc + s * s * cc
    factors = np.exp(-_FADING[:, None] / 4 * k2)
    scores = np.maximum(factors @ common, 0) ** 2 / np.maximum(factors**2 @ energy, 1e-30)
    return np.asarray(factors[int(scores.argmax())])


def sums(statistics: CtfStatistics, changes: Array) -> tuple[Array, Array]:
    pairs = [statistics.parts(t, changes[t : t + 1]) for t in range(statistics.n_tilts)]
    common, energy = (np.array([pair[i][0] for pair in pairs]) for i in (0, 1))
    return common, energy


def measured(statistics: CtfStatistics, changes: Array) -> tuple[Array, Array]:
    """Amplitude of each image at its change, and its standard deviation."""
    common, energy = sums(statistics, changes)
    known = energy > 0
    safe = np.where(known, energy, 1.0)
    return np.where(known, common / safe, 0.0), np.where(known, 1 / np.sqrt(safe), np.inf)


def smooth_amplitudes(
    statistics: CtfStatistics, changes: Array, beams: Array, scale: Array
) -> Array:
    """Amplitude of each image: as it shows, and where it shows little, as the others do."""
    amplitude, error = measured(statistics, changes)
    ice = fit_ice(amplitude * scale, scaled_errors(error, scale), beams)
    values, _ = about_curve(amplitude, error, unscaled(ice.values, scale))
    return np.maximum(values, 0.0)


def unscaled(values: Array, scale: Array) -> Array:
    """Values over a scale; 0 where that is 0."""
    return np.divide(values, scale, out=np.zeros(len(scale)), where=scale > 0)


def scaled_errors(errors: Array, scale: Array) -> Array:
    """Errors of amplitudes times a scale; infinite where that is 0, as nothing is seen."""
    return np.where(scale > 0, errors * np.where(scale > 0, scale, 1.0), np.inf)

"""What `_kernels` computes, plainly: for tests, and to be read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: As in `_kernels`.
FADE_FROM, FADE_TO = 4.0, 2.0


def prefilter(correlation: Array) -> Array:
    """Coefficients of the cubic B-spline through a correlation, mirrored at its edges: (n, n)."""
    n = len(correlation)
    through = np.zeros((n, n))
    for i in range(n):
        for neighbour, weight in ((i - 1, 1 / 6), (i, 4 / 6), (i + 1, 1 / 6)):
            mirrored = n - 1 - abs(n - 1 - abs(neighbour))
            through[i, mirrored] += weight
    half = np.linalg.solve(through, correlation)
    return np.asarray(np.linalg.solve(through, half.T).T)


def value(correlation: Array, offset: Array, step: float) -> float:
    """The spline through a correlation at an offset [px] from its middle, faded at its edge."""
    coefficients = prefilter(correlation)
    middle = len(correlation) // 2
    at = np.asarray(offset) / step + middle
    points = np.arange(len(correlation))
    along_x, along_y = (_spline(points - u) for u in at)
    faded = np.prod([_fade(abs(u - middle), middle) for u in at])
    return float(faded * (along_y @ coefficients @ along_x))


def _spline(distance: Array) -> Array:
    r = np.abs(distance)
    near = 2 / 3 - r**2 + r**3 / 2
    far = (2 - r) ** 3 / 6
    return np.asarray(np.where(r < 1, near, np.where(r < 2, far, 0.0)))


def _fade(away: float, middle: int) -> float:
    s = np.clip((middle - FADE_TO - away) / (FADE_FROM - FADE_TO), 0.0, 1.0)
    return float(s**3 * (10 + s * (6 * s - 15)))


def stack(values: Array, weights: Array, offsets: Array, step: float) -> Array:
    """Weighted sums over particles of their correlations, each shifted by -offset: (n_tilts, n, n).

    Parameters
    ----------
    values : (n_particles, n_tilts, n, n) array
    weights : (n_particles, n_tilts) array
    offsets : (n_tilts, n_particles, 2) array
        [px], rounded to whole steps.
    step : float
        [px]
    """
    n = values.shape[-1]
    total = np.zeros(values.shape[1:])
    for p, t in np.ndindex(weights.shape):
        i, j = np.rint(offsets[t, p] / step).astype(int)
        wide = np.pad(values[p, t].astype(np.float64), n)
        if max(abs(i), abs(j)) < n:
            total[t] += weights[p, t] * wide[n + j : 2 * n + j, n + i : 2 * n + i]
    return total


def score(values: Array, weights: Array, offsets: Array, step: float) -> float:
    """Weighted sum over tilts of a particle's correlations at points nearest to offsets [px]."""
    middle = values.shape[-1] // 2
    total = 0.0
    for correlation, weight, offset in zip(values, weights, offsets, strict=True):
        i, j = np.rint(offset / step).astype(int) + middle
        if min(i, j) >= 0 and max(i, j) < len(correlation):
            total += weight * correlation[j, i]
    return float(total)


def mix(space: Array, which: npt.NDArray[np.int64], time: Array, information: Array) -> Array:
    """Information on coefficients of modes of motion: (m, 3, m, 3).

    Parameters
    ----------
    space, which, time
        As in `Modes`.
    information : (n_tilts, n_particles, 3, 3) array
        On positions.
    """
    reach = space[:, which][None] * time[:, None]
    return np.asarray(np.einsum("tpa,tpij,tpb->aibj", reach, information, reach, optimize=True))

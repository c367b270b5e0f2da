"""Where to begin: shifts of whole tilt images and positions of single particles, by a search.

Both are tried at all points of the cross-correlations, so that neither a wrong shift nor a particle
that lies far off can catch the fit that follows on the slope of another peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.problem import ParticleProblem
from tomoset.align.particles.splines import CorrelationSplines

Array = npt.NDArray[np.float64]

#: Between positions that are tried, first everywhere, then around the best [px].
_COARSE, _FINE = 1.5, (0.75, 0.375)
#: Log of how much more likely a position beyond `_NEAR` [px] must be than one nearby: about
#: that of the number of positions.
_SURPRISE, _NEAR = 9.0, 2.5
#: Shifts and positions are searched so often.
_ROUNDS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where the fit begins.

    Parameters
    ----------
    shifts : (n_tilts, 2) array
        [px]
    displacement : (n_particles, 3) array
        [voxels]
    amplitude : (n_tilts,) array
    """

    shifts: Array
    displacement: Array
    amplitude: Array


def start(
    problem: ParticleProblem, splines: CorrelationSplines, *, shifts: bool, particles: bool
) -> Start:
    """Search shifts and positions.

    Parameters
    ----------
    problem : ParticleProblem
    splines : CorrelationSplines
    shifts, particles : bool
        What is free.
    """
    n_particles, n_tilts = splines.visible.shape
    linear = problem.projections[:, :2, :3]
    by_tilt, displacement = np.zeros((n_tilts, 2)), np.zeros((n_particles, 3))
    amplitude = np.ones(n_tilts)
    values = np.asarray(problem.correlations.values)
    if not splines.visible.any():
        return Start(shifts=by_tilt, displacement=displacement, amplitude=amplitude)
    weights = splines.visible.astype(np.float64)
    for _ in range(_ROUNDS):
        offsets = np.einsum("tij,pj->tpi", linear, displacement)
        if shifts:
            by_tilt, amplitude = _shifts(values, weights, offsets, splines, amplitude)
        offsets = offsets + by_tilt[:, None]
        if particles:
            displacement = _best_positions(
                values, amplitude, (offsets, linear, displacement), splines
            )
    return Start(shifts=by_tilt, displacement=displacement, amplitude=amplitude)


def _shifts(
    values: npt.NDArray[np.float32],
    weights: Array,
    offsets: Array,
    splines: CorrelationSplines,
    old: Array,
) -> tuple[Array, Array]:
    """Peaks of the sums of all correlations of each tilt image, and amplitudes."""
    from tomoset.align.particles import _kernels

    n = values.shape[-1]
    total = np.zeros((len(offsets), n, n))
    _kernels.stack(values, weights, offsets, splines.step, total)
    energy = np.maximum(splines.energy.sum(axis=1), 1e-12)
    axis = (np.arange(n) - n // 2) * splines.step
    away = np.hypot(axis[:, None], axis)
    allowed = np.maximum(np.abs(axis[:, None]), np.abs(axis)) <= splines.range
    inner = np.where(allowed, total, -np.inf)
    typical = float(np.median((inner.max(axis=(1, 2)) / energy)[splines.energy.any(axis=1)]))
    amplitude = np.full(len(offsets), max(typical, 1e-2))
    found = np.zeros((len(offsets), 2))
    for t in np.flatnonzero(splines.energy.any(axis=1)):
        near = np.where(away <= _NEAR, inner[t], -np.inf)
        best = int(np.argmax(inner[t]))
        if amplitude[t] * (inner[t].flat[best] - near.max()) < _SURPRISE:
            best = int(np.argmax(near))
        found[t] = _vertex(total[t], *divmod(best, n)) * splines.step
    return found, np.minimum(amplitude, np.maximum(old, 1.0))


def _vertex(image: Array, y: int, x: int) -> Array:
    """Top of the parabolas through a point and its neighbours, x and y from the middle."""
    middle = len(image) // 2
    at = np.array([x, y], dtype=np.float64) - middle
    if 0 < x < len(image) - 1 and 0 < y < len(image) - 1:
        for axis, line in enumerate((image[y, x - 1 : x + 2], image[y - 1 : y + 2, x])):
            bow = line[0] - 2 * line[1] + line[2]
            at[axis] += np.clip((line[0] - line[2]) / (2 * bow), -0.5, 0.5) if bow < 0 else 0.0
    return at


def _best_positions(
    values: npt.NDArray[np.float32],
    amplitude: Array,
    here: tuple[Array, Array, Array],
    splines: CorrelationSplines,
) -> Array:
    """The best positions of all particles, (n_particles, 3)."""
    from tomoset.align.particles import _kernels

    offsets, linear, displacement = here
    scale = float(np.median(np.linalg.norm(linear, axis=(1, 2)))) / np.sqrt(2)
    weights = amplitude * splines.visible

    def score(shifts: Array) -> Array:
        out = np.zeros(shifts.shape[:2])
        _kernels.scores(values, weights, offsets, linear, shifts, splines.step, out)
        return out

    side = np.arange(0.0, min(splines.range, 12.0) + 1e-9, _COARSE)
    side = np.concatenate([-side[:0:-1], side]) / scale
    grid = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    size = np.linalg.norm(grid, axis=1) * scale
    grid = grid[size <= side.max() * scale + 1e-9]
    every = np.arange(len(displacement))
    # Near where it was given, not where the last round ended.
    scored = score(np.broadcast_to(grid, (len(displacement), *grid.shape)) - displacement[:, None])
    near = np.where(np.linalg.norm(grid, axis=1) * scale <= _NEAR, scored, -np.inf)
    far = scored.max(axis=1) - near.max(axis=1) > _SURPRISE
    best = grid[np.where(far, scored.argmax(axis=1), near.argmax(axis=1))]
    cube = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for step in _FINE:
        around = best[:, None] + cube * (step / scale)
        best = around[every, score(around - displacement[:, None]).argmax(axis=1)]
    return np.asarray(best)


def middle(size: tuple[int, int, int]) -> Array:
    """The tomogram's middle voxel."""
    return np.asarray((np.array(size, dtype=np.float64) - 1) / 2)

"""Cameras and beads that fit what was seen: residuals, derivatives, one Gauss-Newton step.

The beads are eliminated (Schur complement of 3x3 blocks), so that only the free parameters of
the cameras are solved for. Everything lies on a grid of tilt images by beads, whose weight is 0
where nothing was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.parameter_groups import Basis
from tomoset.align.parameters import COLUMNS, derivatives, linear

Array = npt.NDArray[np.float64]

#: How far an alignment is off before it is called another one: rad, log, fractions. What the
#: beads do not say (a stretch along the beam by a flat specimen) stays within that.
PRIOR = np.array([np.inf, np.inf, 0.1, 0.05, 0.03, 0.03, 0.03, 0.05, 0.05])
#: Added to the diagonals, as a fraction of the largest: what nothing says anything about stays.
_FLOOR = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What was seen in one tilt series, and its cameras as they came.

    Parameters
    ----------
    seen : (n, m, 2) array
        Of bead j in tilt image i [px]; anything where `precision` is 0.
    precision : (n, m) array
        One over the standard deviation of a coordinate [1/px]; 0: not seen.
    start : (n, 9) array
        The input cameras (`parameters.COLUMNS`).
    centre : (3,) array
        What they rotate about [voxels].
    lever : float
        Typical distance of beads from each other [px]: a change of an angle by 1/lever
        displaces them by about 1 px. Free parameters are counted so.
    """

    seen: Array
    precision: Array
    start: Array
    centre: Array
    lever: float

    @property
    def units(self) -> Array:
        """What each column changes by, when its free parameter changes by 1 [px]: (9,)."""
        return np.array([1.0, 1.0] + [1 / self.lever] * (len(COLUMNS) - 2))

    def prior(self, noise: float, scatter: Array | None = None) -> Prior:
        """What is known of the cameras besides the observations.

        Parameters
        ----------
        noise : float
            Scale of the residuals [standard deviations of the observations].
        scatter : (9,) array, optional
            Of changes about their mean, for columns where it is known [px]; inf elsewhere.
        """
        known = np.zeros(len(COLUMNS)) if scatter is None else (noise / scatter) ** 2
        return Prior((noise * self.units / PRIOR) ** 2, known)


@dataclass(frozen=True, eq=False)
class Prior:
    """Precision of changes of the cameras: (9,) arrays, one a column [1/px²].

    Parameters
    ----------
    start
        Of the input: weak, for what no bead says anything about.
    mean
        Of the mean of all changes, about which each scatters.
    """

    start: Array
    mean: Array

    def restraint(self, off: Array) -> Array:
        """How strongly changes (n, 9) are held."""
        return np.asarray(self.start * off + self.mean * (off - off.mean(axis=0)))


@dataclass(frozen=True, eq=False)
class State:
    """Cameras, (n, 9) array, and beads, (m, 3) array of voxels."""

    cameras: Array
    beads: Array


def predicted(problem: Problem, state: State) -> Array:
    """Where the cameras see the beads: (n, m, 2) [px]."""
    levers = (state.beads - problem.centre).T
    return np.asarray(
        (linear(state.cameras) @ levers).transpose(0, 2, 1) + state.cameras[:, None, :2]
    )


def residuals(problem: Problem, state: State) -> Array:
    """Seen less predicted: (n, m, 2) [px], 0 where nothing was seen."""
    return np.where(problem.precision[..., None] > 0, problem.seen - predicted(problem, state), 0.0)


@dataclass(frozen=True, eq=False)
class System:
    """Normal equations of all cameras and beads, the beads ready to be eliminated.

    Parameters
    ----------
    change : (n, m, 2, 9) array
        Derivatives by the columns, in `Problem.units`.
    linear : (n, 2, 3) array
        Derivatives by the beads.
    blocks : (n, 9, 9) array
        Normal equations of each camera.
    mixed : (n, 9, m, 3) array
        Of cameras and beads, the latter divided by `root`.
    root : (m, 3, 3) array
        Inverse of the lower Cholesky factor of each bead's normal equations.
    camera_side, bead_side : (n, 9), (m, 3) arrays
        Right hand sides, the latter divided by `root`.
    prior : Prior
    """

    change: Array
    linear: Array
    blocks: Array
    mixed: Array
    root: Array
    camera_side: Array
    bead_side: Array
    prior: Prior


def linearise(problem: Problem, state: State, weights: Array, prior: Prior) -> System:
    """Normal equations about a state.

    Parameters
    ----------
    problem, state
    weights : (n, m) array
        Of robust estimation, 0 to 1.
    prior : Prior
    """
    n, m = weights.shape
    strength = weights * problem.precision**2
    levers = state.beads - problem.centre
    change = derivatives(state.cameras, levers) * problem.units
    by_bead = linear(state.cameras)
    restraint = strength[..., None] * residuals(problem, state)
    heavy = change * strength[..., None, None]
    blocks = change.reshape(n, 2 * m, -1).transpose(0, 2, 1) @ heavy.reshape(n, 2 * m, -1)
    diagonal = range(len(COLUMNS))
    blocks[:, diagonal, diagonal] += prior.start + prior.mean
    outer = (by_bead.transpose(0, 2, 1) @ by_bead).reshape(n, 9)
    normal = (strength.T @ outer).reshape(m, 3, 3)
    normal += np.eye(3) * (_FLOOR * np.trace(normal, axis1=1, axis2=2).max(initial=0.0) + 1e-30)
    root = np.linalg.inv(np.linalg.cholesky(normal))
    mixed = np.einsum("imka,iks->imas", heavy, by_bead, optimize=True) @ root.transpose(0, 2, 1)
    off = (state.cameras - problem.start) / problem.units
    camera_side = np.einsum("imka,imk->ia", change, restraint) - prior.restraint(off)
    bead_side = root @ np.einsum("iks,imk->ms", by_bead, restraint)[..., None]
    mixed = mixed.transpose(0, 2, 1, 3)
    return System(change, by_bead, blocks, mixed, root, camera_side, bead_side[..., 0], prior)


@dataclass(frozen=True, eq=False)
class Reduced:
    """Normal equations of the free parameters alone.

    Parameters
    ----------
    normal : (p, p) array
    side : (p,) array
    mixed : (p, 3 m) array
        As in `System`, for the free parameters.
    """

    normal: Array
    side: Array
    mixed: Array


def reduce(system: System, basis: Basis) -> Reduced:
    """The beads eliminated, and the cameras written as the free parameters."""
    size, parts = basis.size, list(zip(basis.parts, basis.slices(), strict=True))
    n, _, m, _ = system.mixed.shape
    normal, side, mixed = np.zeros((size, size)), np.zeros(size), np.zeros((size, 3 * m))
    for (a, first), rows in parts:
        mixed[rows] = first.T @ system.mixed[:, a].reshape(n, 3 * m)
        side[rows] = first.T @ system.camera_side[:, a]
        for (b, second), columns in parts:
            if columns.start >= rows.start:
                block = first.T @ (system.blocks[:, a, b, None] * second)
                if a == b:  # the mean is not held
                    together = first.sum(axis=0)
                    block -= system.prior.mean[a] / n * np.outer(together, together)
                normal[rows, columns] = block
                normal[columns, rows] = normal[rows, columns].T
    normal -= mixed @ mixed.T
    if size:
        normal[range(size), range(size)] += 10 * _FLOOR * normal.diagonal().max()
    return Reduced(normal, side - mixed @ system.bead_side.ravel(), mixed)


def updated(problem: Problem, state: State, basis: Basis, change: tuple[Array, Array]) -> State:
    """The state after changes of the free parameters and of the beads."""
    parameters, beads = change
    cameras = state.cameras + basis.expand(parameters) * problem.units
    return State(cameras, state.beads + beads)


def solve(system: System, reduced: Reduced, damping: float = 0.0) -> tuple[Array, Array]:
    """Changes of the free parameters (p,) and of the beads (m, 3) that reduce the residuals."""
    normal = reduced.normal
    if damping:
        normal = normal + np.diag(damping * normal.diagonal())
    parameters = np.linalg.solve(normal, reduced.side)
    left = system.bead_side - (parameters @ reduced.mixed).reshape(-1, 3)
    return np.asarray(parameters), (np.swapaxes(system.root, 1, 2) @ left[..., None])[..., 0]


def cost(problem: Problem, state: State, weights: Array, prior: Prior) -> float:
    """What a step reduces: weighted squares of residuals, and of changes against the prior."""
    off = residuals(problem, state) * problem.precision[..., None]
    gone = (state.cameras - problem.start) / problem.units
    return float((weights * (off**2).sum(axis=-1)).sum() + (gone * prior.restraint(gone)).sum())


def step(
    problem: Problem, state: State, weights: Array, prior: Prior, basis: Basis
) -> tuple[State, System, Reduced]:
    """One Gauss-Newton step, damped (Levenberg-Marquardt) where it would lead upwards.

    Returns
    -------
    state : State
    system, reduced
        The normal equations, about the state of before.
    """
    system = linearise(problem, state, weights, prior)
    reduced = reduce(system, basis)
    before = cost(problem, state, weights, prior)
    for damping in (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0):
        new = updated(problem, state, basis, solve(system, reduced, damping))
        if cost(problem, new, weights, prior) <= before * (1 + 1e-9) + 1e-20:
            return new, system, reduced
    return state, system, reduced

"""Deformed images and moving molecules, at random but smooth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tomoset.simulate.projection import NODES, deform

Array = npt.NDArray[np.float64]

#: Molecules that are nearer than this move alike [Å]; waves that a field of motion is made of.
_ALIKE, _WAVES = 1500.0, 200


def random_deformation(
    n_tilts: int, image_size: tuple[int, int], *, rms: float, seed: int
) -> Array:
    """A spline for every image, whose displacements have this rms length over all images.

    Parameters
    ----------
    n_tilts : int
        Number of images.
    image_size : (int, int)
        Width and height [px].
    rms : float
        Of the length of the displacements [px].
    seed : int
        The same gives the same.

    Returns
    -------
    (n_tilts, 72) array
        As `Views.deformation` has it.

    Examples
    --------
    >>> random_deformation(5, (64, 60), rms=1.0, seed=1).shape
    (5, 72)
    """
    chance = np.random.default_rng(seed).standard_normal((n_tilts, 2, NODES * NODES, 4))
    # Slopes between nodes that differ by about 1; a twist is hardly ever more than a ripple.
    chance *= [1.0, 0.5, 0.5, 0.25]
    # A shift of the image as a whole belongs to the alignment.
    chance[..., 0] -= chance[..., 0].mean(axis=2, keepdims=True)
    coefficients = chance.reshape(n_tilts, -1)
    steps = (np.linspace(0, n - 1, 25) for n in image_size)
    grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
    displaced = np.stack([deform(c, grid, image_size) for c in coefficients])
    return np.asarray(coefficients * rms / np.sqrt(np.square(displaced).sum(axis=-1).mean()))


def random_motion(positions: Array, progress: Array, *, rms: float, seed: int) -> Array:
    """Curved trajectories of molecules, 0 in the first image; those of neighbours are alike.

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z [Å].
    progress : (n_tilts,) array
        From 0 in the image that is taken first to 1 in the last.
    rms : float
        Rms displacement from the first image to the last [Å].
    seed : int
        The same gives the same.

    Returns
    -------
    (n, n_tilts, 3) array
        As `Views.trajectories` has it [Å].

    Examples
    --------
    >>> trajectory = random_motion(np.eye(3), np.array([0, 0.5, 1]), rms=3.0, seed=1)
    >>> trajectory.shape, float(np.abs(trajectory[:, 0]).max())
    ((3, 3, 3), 0.0)
    """
    rng = np.random.default_rng(seed)
    straight, curved = (_smooth_field(rng, positions) for _ in range(2))
    length = np.sqrt(np.square(straight).sum(axis=-1).mean()) if len(positions) else 1.0
    s = progress[:, None]
    trajectories = straight[:, None] * s + 0.5 * curved[:, None] * np.sin(np.pi * s) * (s > 0)
    return np.asarray(np.round(trajectories * rms / length, 6))


def random_brownian(
    positions: Array, pre_exposure: Array, *, velocity: float, alike: float = 3000.0, seed: int
) -> Array:
    """Trajectories of molecules whose velocities in different images are independent.

    That is the process which RELION's motion correction expects (docs/relion.md,
    'relion_tomo_align'): velocities of two molecules a distance d apart have the covariance
    velocity² exp(-d / alike).

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z [Å].
    pre_exposure : (n_tilts,) array
        [e/Å²]
    velocity : float
        Standard deviation along each axis [Å per e/Å²].
    alike : float
        Distance over which velocities come apart [Å].
    seed : int
        The same gives the same.

    Returns
    -------
    (n, n_tilts, 3) array
        As `Views.trajectories` has it [Å]; 0 in the image of the lowest dose.

    Examples
    --------
    >>> trajectory = random_brownian(np.eye(3), np.array([3.0, 0.0, 6.0]), velocity=0.5, seed=1)
    >>> trajectory.shape, float(np.abs(trajectory[:, 1]).max())
    ((3, 3, 3), 0.0)
    """
    rng = np.random.default_rng(seed)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    root = np.linalg.cholesky(np.exp(-apart / alike) + 1e-9 * np.eye(len(positions)))
    order = np.argsort(pre_exposure, kind="stable")
    trajectories = np.zeros((len(positions), len(pre_exposure), 3))
    for before, now in pairwise(order.tolist()):
        step = root @ rng.standard_normal((len(positions), 3))
        dose = pre_exposure[now] - pre_exposure[before]
        trajectories[:, now] = trajectories[:, before] + velocity * dose * step
    return np.asarray(np.round(trajectories, 6))


def _smooth_field(rng: np.random.Generator, positions: Array) -> Array:
    """A random vector at every position, alike where these are near: (n, 3)."""
    waves = rng.standard_normal((_WAVES, 3)) / _ALIKE
    phases = rng.uniform(0, 2 * np.pi, _WAVES)
    heights = rng.standard_normal((_WAVES, 3)) * np.sqrt(2 / _WAVES)
    return np.asarray(np.cos(positions @ waves.T + phases) @ heights)

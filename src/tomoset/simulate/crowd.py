"""Crowded molecules: thousands of globular ones of some kinds and sizes, packed into a slab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.simulate.molecules import random_angles, rotations

Array = npt.NDArray[np.float64]
Reject = Callable[[Array, Array], npt.NDArray[np.bool_]]

#: Radii of the kinds [Å], from small enzymes to ribosomes, and how often there is each.
_KINDS = (28.0, 34.0, 40.0, 48.0, 58.0, 75.0, 115.0)
_SHARES = (0.22, 0.22, 0.2, 0.16, 0.1, 0.06, 0.04)
#: A kind is made of so many balls, of this part of its radius; the seed of their places.
_BALLS, _BALL, _SEED = 7, 0.5, 41
#: Two molecules come this near, as a part of the sum of their radii: they are no balls.
_NEAR = 0.85
#: How often those without room are tried elsewhere, and after how many tries they may be outside
#: the layers.
_TRIES, _ANYWHERE = 100, 20
#: No more than this part of the slab can be filled by chance.
_FULL = 0.35
#: The part of the crowd that is in the layers, if there are any, and how thin these are, as a
#: standard deviation in parts of the distance between two.
_IN_LAYERS, _THIN = 0.8, 0.12


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """Where a crowd is to be: a box about the middle of the slab [Å].

    Parameters
    ----------
    half : (3,) array
        Half its edges along x, depth and y.
    layers : int
        Layers along depth that most of the crowd is in; 0: it is everywhere.
    """

    half: Array
    layers: int = 0

    def positions(self, rng: np.random.Generator, radii: Array) -> Array:
        """Places at random for balls that do not stand out of the slab: (n, 3) [Å]."""
        at = rng.uniform(-1, 1, (len(radii), 3)) * self.half
        room = np.maximum(self.half[1] - radii, 0.0)
        at[:, 1] *= room / self.half[1]
        if self.layers:
            middles = (np.arange(self.layers) + 0.5) / self.layers * 2 - 1
            depth = rng.choice(middles, len(radii)) * self.half[1]
            depth += rng.normal(0, _THIN * 2 * self.half[1] / self.layers, len(radii))
            inside = (rng.uniform(size=len(radii)) < _IN_LAYERS) & (np.abs(depth) < room)
            at[inside, 1] = depth[inside]
        return at


def crowd(
    rng: np.random.Generator, number: int, box: Box, spacing: float, reject: Reject
) -> tuple[Array, Array]:
    """The points of so many molecules that hardly touch each other.

    Parameters
    ----------
    rng : Generator
        Of chance.
    number : int
        Of molecules in the box.
    box : Box
        Where they are.
    spacing : float
        Between points of a molecule [Å].
    reject : callable
        From positions and radii to which of them cannot be there.

    Returns
    -------
    points : (n, 3) array
        x, depth and y from the middle of the box [Å].
    weights : (n,) array
        Volumes of protein [Å³].

    Raises
    ------
    ModelError
        If there is no room for so many.
    """
    kinds = rng.choice(len(_KINDS), number, p=_SHARES)
    at = _packed(rng, np.array(_KINDS)[kinds], box, reject)
    turned = rotations(random_angles(rng, number))
    points = [np.empty((0, 3))]
    for kind in range(len(_KINDS)):
        mine = kinds == kind
        shape = globule(kind, spacing)
        there = np.einsum("nij,pj->npi", turned[mine], shape) + at[mine, None]
        points.append(there.reshape(-1, 3))
    together = np.concatenate(points)
    return together, np.full(len(together), spacing**3)


def globule(kind: int, spacing: float) -> Array:
    """Points about the middle of a molecule of a kind, always the same: (n, 3) [Å]."""
    rng = np.random.default_rng([_SEED, kind])
    radius = _KINDS[kind]
    directions = rng.standard_normal((_BALLS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    balls = directions * radius * (1 - _BALL) * rng.uniform(0.6, 1.0, (_BALLS, 1))
    steps = np.arange(-radius, radius + spacing / 2, spacing)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)
    grid = grid + rng.uniform(-0.25, 0.25, grid.shape) * spacing
    inside = (np.linalg.norm(grid - balls, axis=-1) < _BALL * radius).any(axis=1)
    points = grid[inside, 0] if inside.any() else np.zeros((1, 3))
    return np.asarray(points - points.mean(axis=0))


def _packed(rng: np.random.Generator, radii: Array, box: Box, reject: Reject) -> Array:
    """Places for balls of these radii, none in another [Å]."""
    from scipy.spatial import cKDTree

    filled = 4 / 3 * np.pi * ((_NEAR * radii) ** 3).sum() / (8 * box.half.prod())
    if filled > _FULL:
        raise ModelError(
            f"{len(radii)} crowded molecules, with those beyond the sides, have no room: they "
            f"would fill {100 * filled:.0f} % of the slab; take fewer (--crowd), or a thicker slab"
        )
    at = np.empty((len(radii), 3))
    homeless = np.ones(len(radii), dtype=bool)
    for tries in range(_TRIES):
        now = box if tries < _ANYWHERE else replace(box, layers=0)
        at[homeless] = now.positions(rng, radii[homeless])
        pairs = cKDTree(at).query_pairs(_NEAR * 2 * radii.max(), output_type="ndarray")
        apart = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1)
        clash = pairs[apart < _NEAR * radii[pairs].sum(axis=1)]
        # The one that came last goes, or the smaller of two that were there at the same time.
        first, second = clash.T
        goes = np.where(
            homeless[first] == homeless[second],
            np.where(radii[first] < radii[second], first, second),
            np.where(homeless[first], first, second),
        )
        homeless = np.zeros(len(radii), dtype=bool)
        homeless[goes] = True
        homeless |= reject(at, radii)
        if not homeless.any():
            return at
    raise ModelError(
        f"{np.count_nonzero(homeless)} of {len(radii)} crowded molecules have no room, with those "
        "beyond the sides: take fewer (--crowd), or a thicker slab"
    )

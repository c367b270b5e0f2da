"""Which numbers are free, in one vector, and what is expected of them beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.cameras import COLUMNS
from tomoset.align.particles.courses import COURSES
from tomoset.align.particles.motion import Modes
from tomoset.geometry import DeformationBasis

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Groups of numbers that share a variance; the changes common to all tilt images have a fixed one.
GROUPS = (*COLUMNS, "deformation", *COURSES, "common")
DEFORMATION, MOTION, COMMON = (GROUPS.index(name) for name in ("deformation", "walk", "common"))
#: Standard deviations to begin with: angles [rad], shifts [px], factors; of a deformation [px];
#: and of motions, against what was asked for.
_START = (*[np.deg2rad(0.2)] * 3, *[2.0] * 2, *[0.003] * 3, 1.0, *[0.5] * 3, 1.0)
#: Standard deviations of what all tilt images have in common, of each column.
_SHARED = np.array([*[np.deg2rad(0.3)] * 3, *[3.0] * 2, *[0.01] * 3])
#: Degrees of freedom of Student's distribution of what every tilt image has of its own, and of
#: the places of particles: a few of them may be far off.
TAIL = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """Everything that may change, free or not; zeros are the alignment that was given.

    Parameters
    ----------
    tilt : (n_tilts, 8) array
        `COLUMNS` of each tilt image: radians, pixels, factors.
    common : (8,) array
        The same, for all of them.
    deformation : (n_tilts, k) array
        Coefficients of the deformation, not their change [px].
    motion : (m, 3) array
        Coefficients of the modes of motion.
    moved : (n_particles, 3) array
        Of particles [voxels].
    """

    tilt: Array
    common: Array
    deformation: Array
    motion: Array
    moved: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Freedom:
    """Where each number stands in the vector of free ones; -1 for those that are not free.

    Parameters
    ----------
    tilt : (n_tilts, 8) int array
    common : (8,) int array
    deformation : (n_tilts, k) int array
        The same in all rows if the deformation is common.
    motion : (m, 3) int array
    particles : bool
        Whether these may move; their places are not part of the vector.
    size : int
    """

    tilt: Index
    common: Index
    deformation: Index
    motion: Index
    particles: bool
    size: int

    def pack(self, numbers: Parameters) -> Array:
        """The free ones: (size,)."""
        vector = np.zeros(self.size)
        for where, values in self._pairs(numbers):
            vector[where[where >= 0]] = values[where >= 0]
        return vector

    def unpack(self, vector: Array, moved: Array, held: Parameters) -> Parameters:
        """All of them: those of the vector, and the `held` ones that are not free."""
        found = []
        for where, values in self._pairs(held):
            filled = values.copy()
            filled[where >= 0] = vector[where[where >= 0]]
            found.append(filled)
        tilt, common, deformation, motion = found
        return Parameters(
            tilt=tilt, common=common, deformation=deformation, motion=motion, moved=moved
        )

    def _pairs(self, numbers: Parameters) -> list[tuple[Index, Array]]:
        return [
            (self.tilt, numbers.tilt),
            (self.common, numbers.common),
            (self.deformation, numbers.deformation),
            (self.motion, numbers.motion),
        ]

    @property
    def moving(self) -> bool:
        """Whether particles move."""
        return bool(self.motion.size and self.motion[0, 0] >= 0)

    @property
    def deforming(self) -> bool:
        """Whether a deformation is fitted."""
        return bool(self.deformation.size and self.deformation[0, 0] >= 0)

    @property
    def applies(self) -> npt.NDArray[np.bool_]:
        """Tilt images whose cameras may change: those that the common changes act on."""
        return np.asarray(self.tilt[:, 0] >= -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """What is expected of the free numbers.

    Parameters
    ----------
    mean, scale : (size,) arrays
        Standard deviations are `scale` times those of their group.
    group : (size,) int array
    ridge : (size,) array
        Curvature that is added to that of the distribution, about 0: RELION's regularisation.
    variance : (groups,) array
        Of the groups; learned.
    place : float
        Variance of the places of particles along each axis [voxels²]; learned.
    anchor : float
        What the places that were given are: 0, those in the image of the lowest dose; 1, averages
        of moving particles over all images, as one picks them in a tomogram. Learned.
    """

    mean: Array
    scale: Array
    group: Index
    ridge: Array
    variance: Array
    place: float
    anchor: float = 1.0

    @property
    def tail(self) -> Array:
        """Degrees of freedom of each number's distribution: infinite for normal ones."""
        return np.where(self.group < len(COLUMNS), TAIL, np.inf)

    def terms(self, vector: Array) -> tuple[float, Array, Array]:
        """Logarithm but for a constant, its gradient, and the curvature of each number."""
        width = self.scale**2 * self.variance[self.group]
        off = vector - self.mean
        square = off**2 / width
        heavy = np.isfinite(self.tail)
        weight = np.where(heavy, (TAIL + 1) / (TAIL + square), 1.0)
        log = np.where(heavy, (TAIL + 1) / 2 * np.log1p(square / TAIL), square / 2)
        total = -float(log.sum() + 0.5 * (self.ridge * vector**2).sum())
        slope = -weight * off / width - self.ridge * vector
        return total, slope, weight / width + self.ridge

    def place_terms(self, moved: Array) -> tuple[float, Array, Array]:
        """The same of particles: total, (n, 3), and the curvature along each axis (n,)."""
        square = (moved**2).sum(axis=1) / self.place
        weight = (TAIL + 3) / (TAIL + square)
        total = -float((TAIL + 3) / 2 * np.log1p(square / TAIL).sum())
        return total, -weight[:, None] * moved / self.place, weight / self.place

    def learned(self, vector: Array, spread: Array) -> Prior:
        """With the variances that the numbers themselves show (MacKay's fixed point).

        A group whose numbers are not known better than they were expected to be shrinks to
        nothing, and so do its numbers.

        Parameters
        ----------
        vector : (size,) array
        spread : (size,) array
            Posterior variances.
        """
        variance = self.variance.copy()
        width = self.scale**2 * self.variance[self.group]
        square = (vector - self.mean) ** 2 / width
        weight = np.where(np.isfinite(self.tail), (TAIL + 1) / (TAIL + square), 1.0)
        known = np.clip(1 - weight * spread / width, 0.0, 1.0)
        for g in np.unique(self.group):
            of = self.group == g
            if g >= MOTION:  # `motion_evidence` learns those of motions; that of COMMON is fixed
                continue
            ratio = (weight * square)[of].sum() / max(float(known[of].sum()), 1e-3)
            low, high = 1e-8 * _START[g] ** 2, 100.0 * _START[g] ** 2
            variance[g] = np.clip(variance[g] * ratio, low, high)
        return replace(self, variance=variance)

    def with_variances(self, groups: Index, variances: Array) -> Prior:
        """With other variances of some groups."""
        variance = self.variance.copy()
        variance[groups] = variances
        return replace(self, variance=variance)

    def place_learned(self, moved: Array, spread: Array) -> Prior:
        """The same for the places of particles, of `spread` (n,): traces of covariances."""
        if not len(moved):
            return self
        square = (moved**2).sum(axis=1) / self.place
        weight = (TAIL + 3) / (TAIL + square)
        known = np.clip(3 - weight * spread / self.place, 0.0, 3.0).sum()
        ratio = float((weight * square).sum() / max(float(known), 1e-3))
        return replace(self, place=float(np.clip(self.place * ratio, 1e-8, 400.0)))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is to be free.

    Parameters
    ----------
    shifts, angles, particles, deformation, motion : bool
    magnification : {"", "common", "tilt"}
    anisotropic : bool
    """

    shifts: bool = True
    angles: bool = True
    particles: bool = True
    deformation: bool = False
    motion: bool = False
    magnification: str = ""
    anisotropic: bool = False


def freedom(
    choice: Choice,
    moves: npt.NDArray[np.bool_],
    coefficients: int,
    per_tilt: bool,
    modes: Modes | None,
) -> Freedom:
    """Number what is free.

    Parameters
    ----------
    choice : Choice
    moves : (n_tilts,) bool array
        Tilt images that may change.
    coefficients : int
        Coefficients of the deformation.
    per_tilt : bool
        Whether each tilt image has its own.
    modes : Modes or None
    """
    n = len(moves)
    own = np.array(
        [choice.angles] * 3
        + [choice.shifts] * 2
        + [choice.magnification == "tilt"]
        + [choice.magnification == "tilt" and choice.anisotropic] * 2
    )
    factors = np.array([False] * 5 + [True] + [choice.anisotropic] * 2) & bool(choice.magnification)
    free = moves[:, None] & own
    tilt = np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)
    tilt[~moves] = -2  # nor do the common changes act on it
    size = int(free.sum())
    own[3:5] = False  # a common shift is one of the specimen, or of the scatter of all shifts
    shared = (own | factors) & bool(moves.any())
    common = np.where(shared, size + np.cumsum(shared) - 1, -1)
    size += int(shared.sum())
    rows = n if per_tilt else 1
    count = coefficients if choice.deformation else 0
    place = size + np.arange(rows * count).reshape(rows, count)
    if not choice.deformation:
        place = np.full((n, coefficients), -1)
    size += rows * count
    m = modes.count if modes is not None else 0
    ways = size + np.arange(3 * m).reshape(m, 3) if choice.motion else np.full((m, 3), -1)
    return Freedom(
        tilt=tilt,
        common=common,
        deformation=np.broadcast_to(place, (n, coefficients)),
        motion=ways,
        particles=choice.particles,
        size=size + (3 * m if choice.motion else 0),
    )


def prior(
    free: Freedom,
    parts: tuple[DeformationBasis | None, Modes | None],
    old: Parameters,
    regularisation: float,
    like: Prior | None,
) -> Prior:
    """What is expected of free numbers to begin with, or by an earlier fit of others."""
    basis, modes = parts
    mean, scale, ridge = np.zeros(free.size), np.ones(free.size), np.zeros(free.size)
    shared = free.common >= 0
    scale[free.common[shared]] = _SHARED[shared]
    if basis is not None and free.deforming:
        mean[free.deformation] = old.deformation
        scale[free.deformation] = basis.scale
        ridge[free.deformation] = 2 * regularisation * basis.penalty
    variance = np.array(_START) ** 2 if like is None else like.variance
    known = Prior(
        mean=mean,
        scale=scale,
        group=_groups(free, modes),
        ridge=ridge,
        variance=variance,
        place=4.0,
    )
    return known if like is None else replace(known, place=like.place, anchor=like.anchor)


def _groups(free: Freedom, modes: Modes | None) -> Index:
    """The group of every free number, an index of `GROUPS`: (size,)."""
    group = np.zeros(free.size, dtype=np.int64)
    for column in range(len(COLUMNS)):
        where = free.tilt[:, column]
        group[where[where >= 0]] = column
    for where, name in ((free.common, COMMON), (free.deformation, DEFORMATION)):
        group[where[where >= 0]] = name
    if free.moving and modes is not None:
        group[free.motion] = MOTION + modes.courses[modes.when][:, None]
    return group

"""Which parameters are free, in one vector, and their prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.cameras import COLUMNS
from tomoset.align.particles.motion import Modes
from tomoset.align.particles.motion_priors import MOTION_PRIORS
from tomoset.geometry import DeformationBasis

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Parameters that share a variance; the changes common to all tilt images have a fixed one.
GROUPS = (*COLUMNS, "deformation", *MOTION_PRIORS, "common")
DEFORMATION, MOTION, COMMON = (GROUPS.index(name) for name in ("deformation", "brownian", "common"))
#: Standard deviations to begin with: angles [rad], shifts [px], factors; of a deformation [px];
#: and of motions, against what was asked for.
_START = (*[np.deg2rad(0.2)] * 3, *[2.0] * 2, *[0.003] * 3, 1.0, *[0.5] * 3, 1.0)
#: Standard deviations of what all tilt images have in common, of each column.
_SHARED = np.array([*[np.deg2rad(0.3)] * 3, *[3.0] * 2, *[0.01] * 3])
#: Degrees of freedom of Student's distribution of what every tilt image has of its own, and of
#: the positions of particles: a few of them may be far off.
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
    displacement : (n_particles, 3) array
        Of particles, from the positions that were given [voxels].
    """

    tilt: Array
    common: Array
    deformation: Array
    motion: Array
    displacement: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeParameters:
    """Index of each parameter in the vector of free ones; -1 for those that are not free.

    Parameters
    ----------
    tilt : (n_tilts, 8) int array
    common : (8,) int array
    deformation : (n_tilts, k) int array
        The same in all rows if the deformation is common.
    motion : (m, 3) int array
    particles : bool
        Whether their positions are free; these are not part of the vector.
    size : int
    """

    tilt: Index
    common: Index
    deformation: Index
    motion: Index
    particles: bool
    size: int

    def pack(self, parameters: Parameters) -> Array:
        """The free ones: (size,)."""
        vector = np.zeros(self.size)
        for where, values in self._pairs(parameters):
            vector[where[where >= 0]] = values[where >= 0]
        return vector

    def unpack(self, vector: Array, displacement: Array, held: Parameters) -> Parameters:
        """All of them: those of the vector, and the `held` ones that are not free."""
        found = []
        for where, values in self._pairs(held):
            filled = values.copy()
            filled[where >= 0] = vector[where[where >= 0]]
            found.append(filled)
        tilt, common, deformation, motion = found
        return Parameters(
            tilt=tilt,
            common=common,
            deformation=deformation,
            motion=motion,
            displacement=displacement,
        )

    def _pairs(self, parameters: Parameters) -> list[tuple[Index, Array]]:
        return [
            (self.tilt, parameters.tilt),
            (self.common, parameters.common),
            (self.deformation, parameters.deformation),
            (self.motion, parameters.motion),
        ]

    @property
    def moving(self) -> bool:
        """Whether motion is free."""
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
    """What is expected of the free parameters.

    Parameters
    ----------
    mean, scale : (size,) arrays
        Standard deviations are `scale` times those of their group.
    group : (size,) int array
    ridge : (size,) array
        Curvature that is added to that of the distribution, about 0: RELION's regularisation.
    variance : (groups,) array
        Of the groups; learned.
    position_variance : float
        Variance of the positions of particles along each axis [voxels²]; learned.
    averaging : float
        What the given positions are: 0, those in the image of the lowest dose; 1, averages over
        the trajectory, as one picks moving particles in a tomogram. Learned.
    """

    mean: Array
    scale: Array
    group: Index
    ridge: Array
    variance: Array
    position_variance: float
    averaging: float = 1.0

    @property
    def tail(self) -> Array:
        """Degrees of freedom of each parameter's distribution: infinite for normal ones."""
        return np.where(self.group < len(COLUMNS), TAIL, np.inf)

    def terms(self, vector: Array) -> tuple[float, Array, Array]:
        """Logarithm but for a constant, its gradient, and the curvature of each parameter."""
        width = self.scale**2 * self.variance[self.group]
        off = vector - self.mean
        square = off**2 / width
        heavy = np.isfinite(self.tail)
        weight = np.where(heavy, (TAIL + 1) / (TAIL + square), 1.0)
        log = np.where(heavy, (TAIL + 1) / 2 * np.log1p(square / TAIL), square / 2)
        total = -float(log.sum() + 0.5 * (self.ridge * vector**2).sum())
        slope = -weight * off / width - self.ridge * vector
        return total, slope, weight / width + self.ridge

    def position_terms(self, displacement: Array) -> tuple[float, Array, Array]:
        """The same of particles: total, (n, 3), and the curvature along each axis (n,)."""
        square = (displacement**2).sum(axis=1) / self.position_variance
        weight = (TAIL + 3) / (TAIL + square)
        total = -float((TAIL + 3) / 2 * np.log1p(square / TAIL).sum())
        return (
            total,
            -weight[:, None] * displacement / self.position_variance,
            weight / self.position_variance,
        )

    def learned(self, vector: Array, spread: Array) -> Prior:
        """With the variances that the parameters themselves show (MacKay's fixed point).

        A group whose parameters are not known better than they were expected to be shrinks to
        nothing, and so do its parameters.

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
            if g >= MOTION:  # `motion_variances` learns those of motions; that of COMMON is fixed
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

    def position_learned(self, displacement: Array, spread: Array) -> Prior:
        """The same for the positions of particles, of `spread` (n,): traces of covariances."""
        if not len(displacement):
            return self
        square = (displacement**2).sum(axis=1) / self.position_variance
        weight = (TAIL + 3) / (TAIL + square)
        known = np.clip(3 - weight * spread / self.position_variance, 0.0, 3.0).sum()
        ratio = float((weight * square).sum() / max(float(known), 1e-3))
        return replace(
            self, position_variance=float(np.clip(self.position_variance * ratio, 1e-8, 400.0))
        )


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


def free_parameters(
    choice: Choice,
    free_tilts: npt.NDArray[np.bool_],
    coefficients: int,
    per_tilt: bool,
    modes: Modes | None,
) -> FreeParameters:
    """Number what is free.

    Parameters
    ----------
    choice : Choice
    free_tilts : (n_tilts,) bool array
        Tilt images that may change.
    coefficients : int
        Coefficients of the deformation.
    per_tilt : bool
        Whether each tilt image has its own.
    modes : Modes or None
    """
    n = len(free_tilts)
    own = np.array(
        [choice.angles] * 3
        + [choice.shifts] * 2
        + [choice.magnification == "tilt"]
        + [choice.magnification == "tilt" and choice.anisotropic] * 2
    )
    factors = np.array([False] * 5 + [True] + [choice.anisotropic] * 2) & bool(choice.magnification)
    free = free_tilts[:, None] & own
    tilt = np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)
    tilt[~free_tilts] = -2  # nor do the common changes act on it
    size = int(free.sum())
    own[3:5] = False  # a common shift is one of the specimen, or of the scatter of all shifts
    shared = (own | factors) & bool(free_tilts.any())
    common = np.where(shared, size + np.cumsum(shared) - 1, -1)
    size += int(shared.sum())
    rows = n if per_tilt else 1
    count = coefficients if choice.deformation else 0
    index = size + np.arange(rows * count).reshape(rows, count)
    if not choice.deformation:
        index = np.full((n, coefficients), -1)
    size += rows * count
    m = modes.count if modes is not None else 0
    motion_index = size + np.arange(3 * m).reshape(m, 3) if choice.motion else np.full((m, 3), -1)
    return FreeParameters(
        tilt=tilt,
        common=common,
        deformation=np.broadcast_to(index, (n, coefficients)),
        motion=motion_index,
        particles=choice.particles,
        size=size + (3 * m if choice.motion else 0),
    )


def prior(
    free: FreeParameters,
    parts: tuple[DeformationBasis | None, Modes | None],
    old: Parameters,
    regularisation: float,
    like: Prior | None,
) -> Prior:
    """The prior of free parameters to begin with, or by an earlier fit of others."""
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
        position_variance=4.0,
    )
    return (
        known
        if like is None
        else replace(known, position_variance=like.position_variance, averaging=like.averaging)
    )


def _groups(free: FreeParameters, modes: Modes | None) -> Index:
    """The group of every free parameter, an index of `GROUPS`: (size,)."""
    group = np.zeros(free.size, dtype=np.int64)
    for column in range(len(COLUMNS)):
        where = free.tilt[:, column]
        group[where[where >= 0]] = column
    for where, name in ((free.common, COMMON), (free.deformation, DEFORMATION)):
        group[where[where >= 0]] = name
    if free.moving and modes is not None:
        group[free.motion] = MOTION + modes.priors[modes.when][:, None]
    return group

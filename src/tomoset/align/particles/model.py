"""Positions of the particles in the images by the parameters, and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.cameras import Cameras
from tomoset.align.particles.free_parameters import FreeParameters, Parameters
from tomoset.align.particles.motion import Modes
from tomoset.geometry import DeformationBasis

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What does not change while parameters do.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
    middle : (3,) array
        The tomogram's middle voxel.
    positions : (n_particles, 3) array
        [voxels]
    at : (n_tilts, n_particles, 2) array
        Middles of the cross-correlations [px].
    basis : DeformationBasis or None
    modes : Modes or None
    given : (n_tilts, n_particles, 3) array or None
        Motions of before [voxels].
    """

    projections: Array
    middle: Array
    positions: Array
    at: Array
    basis: DeformationBasis | None = None
    modes: Modes | None = None
    given: Array | None = None

    def of(self, which: Index) -> Model:
        """Of some particles only."""
        return replace(
            self,
            positions=self.positions[which],
            at=self.at[:, which],
            modes=self.modes.of(which) if self.modes is not None else None,
            given=self.given[:, which] if self.given is not None else None,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Projected:
    """Particles as projected with certain parameters.

    Parameters
    ----------
    cameras : Cameras
    levers : (n_tilts, n_particles, 3) array
    positions : (n_tilts, n_particles, 2) array
        Before the deformation [px].
    offsets : (n_tilts, n_particles, 2) array
        From the middles of the cross-correlations [px].
    jacobian : (n_tilts, n_particles, 2, 2) array or None
        Derivatives of final positions by those before the deformation.
    """

    cameras: Cameras
    levers: Array
    positions: Array
    offsets: Array
    jacobian: Array | None

    def by_voxel(self, tilt: int) -> Array:
        """Derivatives of the offsets in a tilt image by positions of particles: (p, 2, 3)."""
        linear = self.cameras.linear[tilt]
        if self.jacobian is None:
            return np.broadcast_to(linear, (self.offsets.shape[1], 2, 3))
        return np.asarray(self.jacobian[tilt] @ linear)


def project(model: Model, free: FreeParameters, parameters: Parameters) -> Projected:
    """Project the particles."""
    columns = np.where(free.applies[:, None], parameters.tilt + parameters.common, 0.0)
    cameras = Cameras.of(model.projections, model.middle, columns)
    points = model.positions + parameters.displacement
    if model.given is not None:
        points = points + model.given
    if model.modes is not None and parameters.motion.any():
        points = points + model.modes.displacements(parameters.motion)
    positions, levers = cameras.projected(points)
    offsets, jacobian = positions - model.at, None
    if model.basis is not None:
        jacobian = np.zeros((*positions.shape, 2))
        matrices = model.basis.matrix(parameters.deformation)
        for t, C in enumerate(matrices):
            offsets[t] += model.basis.values(positions[t]) @ C.T
            jacobian[t] = np.eye(2) + np.swapaxes(model.basis.slopes(positions[t]) @ C.T, 1, 2)
    return Projected(
        cameras=cameras, levers=levers, positions=positions, offsets=offsets, jacobian=jacobian
    )


def design(
    model: Model, free: FreeParameters, projected: Projected, tilt: int
) -> tuple[Array, Index]:
    """Derivatives of the offsets in one tilt image by the free parameters that act on it.

    But for motions: they act through positions (`Modes`).

    Returns
    -------
    slopes : (n_particles, 2, f) float64 array
    which : (f,) int array
        Of the vector of free parameters.
    """
    parts: list[Array] = []
    which: list[Index] = []
    by_camera = projected.cameras.slopes_at(tilt, projected.levers[tilt])
    for where in (free.tilt[tilt], free.common) if free.applies[tilt] else ():
        parts.append(by_camera[:, :, where >= 0])
        which.append(where[where >= 0])
    if projected.jacobian is not None:
        parts = [projected.jacobian[tilt] @ part for part in parts]
    if free.deforming and model.basis is not None:
        parts.append(model.basis.design(projected.positions[tilt]))
        which.append(free.deformation[tilt])
    if not parts:
        return np.zeros((projected.offsets.shape[1], 2, 0)), np.zeros(0, dtype=np.int64)
    return np.concatenate(parts, axis=2), np.concatenate(which)

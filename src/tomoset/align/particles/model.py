"""Where parameters put the particles in the images, and how that changes with each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.cameras import Cameras
from tomoset.align.particles.freedom import Freedom, Parameters
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
        Where the windows are [px].
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

    def of(self, rows: Index) -> Model:
        """Of some particles only."""
        return replace(
            self,
            positions=self.positions[rows],
            at=self.at[:, rows],
            modes=self.modes.of(rows) if self.modes is not None else None,
            given=self.given[:, rows] if self.given is not None else None,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Particles as certain parameters see them.

    Parameters
    ----------
    cameras : Cameras
    arms : (n_tilts, n_particles, 3) array
    places : (n_tilts, n_particles, 2) array
        Before the deformation [px].
    offsets : (n_tilts, n_particles, 2) array
        From the middles of the windows [px].
    stretch : (n_tilts, n_particles, 2, 2) array or None
        Derivatives of final places by those before the deformation.
    """

    cameras: Cameras
    arms: Array
    places: Array
    offsets: Array
    stretch: Array | None

    def by_voxel(self, tilt: int) -> Array:
        """Derivatives of the offsets in a tilt image by places of particles: (p, 2, 3)."""
        linear = self.cameras.linear[tilt]
        if self.stretch is None:
            return np.broadcast_to(linear, (self.offsets.shape[1], 2, 3))
        return np.asarray(self.stretch[tilt] @ linear)


def view(model: Model, free: Freedom, numbers: Parameters) -> View:
    """See the particles."""
    columns = np.where(free.applies[:, None], numbers.tilt + numbers.common, 0.0)
    cameras = Cameras.of(model.projections, model.middle, columns)
    points = model.positions + numbers.moved
    if model.given is not None:
        points = points + model.given
    if model.modes is not None and numbers.motion.any():
        points = points + model.modes.displacements(numbers.motion)
    places, arms = cameras.seen(points)
    offsets, stretch = places - model.at, None
    if model.basis is not None:
        stretch = np.zeros((*places.shape, 2))
        matrices = model.basis.matrix(numbers.deformation)
        for t, C in enumerate(matrices):
            offsets[t] += model.basis.values(places[t]) @ C.T
            stretch[t] = np.eye(2) + np.swapaxes(model.basis.slopes(places[t]) @ C.T, 1, 2)
    return View(cameras=cameras, arms=arms, places=places, offsets=offsets, stretch=stretch)


def design(model: Model, free: Freedom, seen: View, tilt: int) -> tuple[Array, Index]:
    """Derivatives of the offsets in one tilt image by the free numbers that act on it.

    But for motions: they act through places (`Modes`).

    Returns
    -------
    slopes : (n_particles, 2, f) float64 array
    which : (f,) int array
        Of the vector of free numbers.
    """
    parts: list[Array] = []
    which: list[Index] = []
    by_camera = seen.cameras.slopes_at(tilt, seen.arms[tilt])
    for where in (free.tilt[tilt], free.common) if free.applies[tilt] else ():
        parts.append(by_camera[:, :, where >= 0])
        which.append(where[where >= 0])
    if seen.stretch is not None:
        parts = [seen.stretch[tilt] @ part for part in parts]
    if free.deforming and model.basis is not None:
        parts.append(model.basis.design(seen.places[tilt]))
        which.append(free.deformation[tilt])
    if not parts:
        return np.zeros((seen.offsets.shape[1], 2, 0)), np.zeros(0, dtype=np.int64)
    return np.concatenate(parts, axis=2), np.concatenate(which)

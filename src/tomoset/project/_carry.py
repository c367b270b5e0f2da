"""All that lies in a tomogram, carried to where another alignment has it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, some_of
from tomoset.formats import CommonTilts
from tomoset.model import (
    Fiducials,
    Manifold,
    Optics,
    ParticleSet,
    Project,
    TomogramSet,
    TrajectorySet,
)
from tomoset.project._pair import Pair

Array = npt.NDArray[np.float64]
T = TypeVar("T", bound=np.generic)

#: A motion that is smaller changes nothing: texts stay [deg, voxels].
_STILL = 1e-9
#: How far from a point its surroundings are looked at, for its local rotation [voxels].
_NEAR = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Carrier:
    """What takes points of one tomogram from the old frame to the new one.

    Parameters
    ----------
    pair : Pair
        Both alignments.
    common : CommonTilts
        Their tilt images.
    transform : (4, 4) array
        The best motion.
    pointwise : bool
        Whether each point is triangulated instead.
    """

    pair: Pair
    common: CommonTilts
    transform: Array
    pointwise: bool = False

    @property
    def still(self) -> bool:
        """Whether nothing moves."""
        off = self.transform - np.eye(4)
        return not self.pointwise and float(np.abs(off).max()) < _STILL

    def places(self, points: Array) -> Array:
        """Where points are: (n, 3) voxels of the new tomogram."""
        if self.still:
            return points
        moved = geometry.apply(self.transform, points)
        if not self.pointwise or not len(points):
            return moved
        found = self.pair.triangulated(points)
        return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, moved)

    def rotations(self, points: Array) -> Array:
        """How the surroundings of points turn: (n, 3, 3)."""
        turn = geometry.nearest_rotation(self.transform[:3, :3])
        if float(geometry.turns(turn)) < _STILL:
            turn = np.eye(3)
        if not self.pointwise:
            return np.broadcast_to(turn, (len(points), 3, 3))
        slopes = [
            (self.places(points + step) - self.places(points - step)) / (2 * _NEAR)
            for step in _NEAR * np.eye(3)
        ]
        return geometry.nearest_rotation(np.stack(slopes, axis=-1))

    @cached_property
    def same_tilts(self) -> bool:
        """Whether both sets have the same tilt images in the same order."""
        every = np.arange(self.pair.old_tilts)
        rows, lines = self.common.rows, self.common.lines
        return (
            self.pair.new_tilts == len(every)
            and np.array_equal(rows, every)
            and np.array_equal(lines, every)
        )

    def retilted(self, values: npt.NDArray[T], missing: float = 0) -> npt.NDArray[T]:
        """Values of each old tilt image as those of each new one: (n_old, ...) to (n_new, ...)."""
        if self.same_tilts:
            return values
        out = np.full((self.pair.new_tilts, *values.shape[1:]), missing, values.dtype)
        out[self.common.lines] = values[self.common.rows]
        return out


def carried(project: Project, carriers: Mapping[str, Carrier], new: TomogramSet) -> Project:
    """A project, its tomograms called as in the new set, in the frames of these.

    Parameters
    ----------
    project : Project
        All of it read; of the tomograms that are carried alone.
    carriers : mapping of str to Carrier
        By the name of each tomogram.
    new : TomogramSet
        With all of these.

    Raises
    ------
    ModelError
        If two particles that move have one name, so that their trajectories cannot turn.
    """
    particles, motion, manifolds = project.particles, project.trajectories, project.manifolds
    if particles is not None:
        before = particles
        particles, rotations = _particles(particles, carriers, new)
        if motion is not None:
            motion = _trajectories(motion, before, carriers, rotations)
    if manifolds is not None:
        found = {
            name: [_manifold(one, carriers[name]) for one in some]
            for name, some in manifolds.items()
        }
        manifolds = manifolds.with_manifolds(found)
    return Project(
        tomograms=new,
        particles=particles,
        trajectories=motion,
        manifolds=manifolds,
        fiducials={
            name: _fiducials(beads, carriers[name])
            for name, beads in project.fiducials.items()
            if new[name].fiducials is None
        },
        references=project.references,
    )


def _particles(
    particles: ParticleSet, carriers: Mapping[str, Carrier], new: TomogramSet
) -> tuple[ParticleSet, Array]:
    """The particles, and how the frame of each turned: (n, 3, 3)."""
    positions, coordinates = particles.positions, particles.coordinates.copy()
    rotations = np.broadcast_to(np.eye(3), (len(particles), 3, 3)).copy()
    pixels = None if particles.pixel_sizes is None else particles.pixel_sizes.copy()
    groups = particles.by_tomogram()
    for name, rows in groups.items():
        carrier, at = carriers[name], positions[rows]
        rotations[rows] = turned = carrier.rotations(at)
        if not carrier.still:
            arms = np.einsum("nij,nj->ni", turned, coordinates[rows] - at) * carrier.pair.scale
            coordinates[rows] = carrier.places(at) + arms
        before, after = carrier.pair.old.optics.pixel_size, new[name].optics.pixel_size
        if pixels is not None and after is not None and after != before:
            pixels[rows] = after
    visible: Sequence[npt.NDArray[np.bool_]] | None = particles.visible
    if visible is not None and not all(carriers[name].same_tilts for name in groups):
        names = particles.tomogram_names.tolist()
        visible = [carriers[name].retilted(mask) for name, mask in zip(names, visible, strict=True)]
    moved = replace(
        particles,
        coordinates=coordinates,
        subtomogram_angles=_turned(particles.subtomogram_angles, rotations),
        pixel_sizes=pixels,
        optics=_optics(particles, pixels),
        visible=visible,
    )
    return moved, rotations


def _optics(particles: ParticleSet, pixels: Array | None) -> Mapping[int, Optics]:
    """Optics groups, with the pixel sizes that their particles have now."""
    if pixels is None or particles.pixel_sizes is None or particles.optics_groups is None:
        return particles.optics
    found = dict(particles.optics)
    for group, optics in particles.optics.items():
        rows = particles.optics_groups == group
        now, before = np.unique(pixels[rows]), np.unique(particles.pixel_sizes[rows])
        if len(now) == 1 and not np.array_equal(now, before):
            found[group] = replace(optics, pixel_size=float(now[0]))
    return found


def _turned(angles: Array | None, rotations: Array) -> Array | None:
    """Angles of subtomograms in frames that turned; texts stay where these did not."""
    turning = np.abs(rotations - np.eye(3)).max(axis=(1, 2)) > 0
    if not turning.any():
        return angles
    after = np.zeros((len(rotations), 3)) if angles is None else angles.copy()
    matrices = rotations[turning] @ geometry.euler_matrix(*after[turning].T)
    after[turning] = geometry.euler_angles(matrices)
    return after


def _trajectories(
    motion: TrajectorySet,
    particles: ParticleSet,
    carriers: Mapping[str, Carrier],
    rotations: Array,
) -> TrajectorySet:
    names, of = particles.particle_names.tolist(), particles.tomogram_names.tolist()
    found = {
        name: carriers[tomogram].retilted(motion[name] @ turn.T)
        for name, tomogram, turn in zip(names, of, rotations, strict=True)
        if name in motion
    }
    lost = [name for name in motion if name not in found]
    if lost:
        warnings.warn(
            f"{len(lost)} trajectories are of no particle that is here, and left out: "
            f"{some_of(lost)}",
            LossyWarning,
            stacklevel=4,
        )
    return motion.with_trajectories({name: found[name] for name in motion if name in found})


def refuse_shared(particles: ParticleSet, motion: TrajectorySet | None) -> None:
    """Refuse particles of one name in several tomograms, if they move."""
    if motion is None:
        return
    pairs = set(
        zip(particles.particle_names.tolist(), particles.tomogram_names.tolist(), strict=True)
    )
    twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    if shared := [name for name in twice if name in motion]:
        raise ModelError(
            f"a particle in each of several tomograms is called {shared[0]!r}, so they share a "
            "trajectory, which cannot turn with all of them; give the particles other names"
        )


def _manifold(one: Manifold, carrier: Carrier) -> Manifold:
    if carrier.still:
        return one
    centre = one.centre[None]
    local = np.eye(4)
    local[:3, :3] = carrier.rotations(centre)[0]
    local[:3, 3] = carrier.places(centre)[0] - local[:3, :3] @ one.centre
    moved = one.transformed(local).params.copy()
    moved[3:] *= carrier.pair.scale
    return replace(one, params=moved)


def _fiducials(beads: Fiducials, carrier: Carrier) -> Fiducials:
    """Their places; what was seen of them stays with the tilt images that both sets have."""
    seen = beads.observations
    if seen is not None:
        tilts = carrier.retilted(np.arange(carrier.pair.old_tilts), -1)
        place = {int(old): row for row, old in enumerate(tilts.tolist()) if old >= 0}
        kept = np.array([tilt in place for tilt in seen.tilt.tolist()], dtype=np.bool_)
        seen = replace(
            seen,
            bead=seen.bead[kept],
            tilt=np.array([place[tilt] for tilt in seen.tilt[kept].tolist()], dtype=np.int64),
            points=seen.points[kept] * carrier.pair.scale,
            uncertainty=None if seen.uncertainty is None else seen.uncertainty[kept],
        )
    return replace(beads, points=carrier.places(beads.points), observations=seen)


def warn_of_tilts(carriers: Mapping[str, Carrier], project: Project) -> None:
    """Say where tilt images are not the same, and what of particles is not known then."""
    other = [
        name
        for name, one in carriers.items()
        if not len(one.common.rows) == one.pair.old_tilts == one.pair.new_tilts
    ]
    particles = project.particles
    if other and particles is not None and (particles.visible is not None or project.trajectories):
        warnings.warn(
            f"{some_of(other)}: the sets have other tilt images: particles are taken for not "
            "visible, and as not moving, in images that only the new one has; images that were cut "
            "out of the old ones do not fit any more: extract them again",
            AssumptionWarning,
            stacklevel=4,
        )

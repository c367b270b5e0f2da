"""How particles of a tomogram moved from one project to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.project._spread import Spread

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: What digits in files may cost [Å, deg].
_DIGITS = 1e-2


@dataclass(frozen=True, kw_only=True)
class ParticleDiff:
    """What changed of the particles in one tomogram.

    Parameters
    ----------
    old, new, both : int
        How many there are, and how many are in both sets: by name, or by order where they have no
        names and are as many.
    moved : Spread or None
        How far they moved against the specimen [Å].
    turned : Spread or None
        How far they turned against it [deg]; None where orientations are not known.
    """

    old: int
    new: int
    both: int
    moved: Spread | None
    turned: Spread | None

    @property
    def same(self) -> bool:
        """Whether all are where they were."""
        found = [spread for spread in (self.moved, self.turned) if spread is not None]
        return self.old == self.new == self.both and all(s.worst <= _DIGITS for s in found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the projects, with the rows of the particles in each of its tomograms."""

    tomograms: TomogramSet
    particles: ParticleSet | None
    rows: Mapping[str, Rows]

    @staticmethod
    def of(project: Project) -> Side:
        """A project, whose particles may be unread."""
        particles: ParticleSet | None = vars(project)["particles"]
        rows = {} if particles is None else particles.by_tomogram()
        return Side(tomograms=project.tomograms, particles=particles, rows=rows)


def particle_diff(
    sides: tuple[Side, Side], names: tuple[str, str], transform: Array | None
) -> ParticleDiff | None:
    """Compare the particles of one tomogram.

    Parameters
    ----------
    sides : (Side, Side)
        The old and the new project.
    names : (str, str)
        What they call the tomogram.
    transform : (4, 4) array, optional
        From old voxels to new ones; None: the frame is the same.
    """
    rows = [
        side.rows.get(name, np.empty(0, np.int64)) for side, name in zip(sides, names, strict=True)
    ]
    old, new = (len(one) for one in rows)
    if not old and not new:
        return None
    sets = [side.particles for side in sides if side.particles is not None]
    matched = _matched(sets, rows) if old and new else None
    if matched is None or not len(matched[0]):
        return ParticleDiff(old=old, new=new, both=0, moved=None, turned=None)
    frame = np.eye(4) if transform is None else transform
    pixel = sides[1].tomograms[names[1]].optics.pixel_size or 1.0
    ours, theirs = (one.select(index) for one, index in zip(sets, matched, strict=True))
    before = geometry.apply(frame, ours.positions)
    apart = np.linalg.norm(theirs.positions - before, axis=1) * pixel
    return ParticleDiff(
        old=old,
        new=new,
        both=len(matched[0]),
        moved=Spread.of(apart, signed=False),
        turned=_turned(ours, theirs, frame),
    )


def _matched(sets: list[ParticleSet], rows: list[Rows]) -> tuple[Rows, Rows] | None:
    """Rows of the same particles in both sets."""
    if all(one.names is not None for one in sets):
        ours, theirs = (
            one.particle_names[index].tolist() for one, index in zip(sets, rows, strict=True)
        )
        place = dict(zip(theirs, rows[1].tolist(), strict=True))
        pairs = [
            (row, place[n]) for n, row in zip(ours, rows[0].tolist(), strict=True) if n in place
        ]
        if pairs:
            first, second = np.array(pairs).T
            return first, second
    return (rows[0], rows[1]) if len(rows[0]) == len(rows[1]) else None


def _turned(ours: ParticleSet, theirs: ParticleSet, frame: Array) -> Spread | None:
    """Angles between orientations, where both sets know them."""
    if any(one.angles is None or np.isnan(one.angles).any() for one in (ours, theirs)):
        return None
    turn = geometry.nearest_rotation(frame[:3, :3])
    if np.linalg.det(turn) < 0:
        return None
    before = turn @ ours.orientations
    return Spread.of(geometry.turns(before.transpose(0, 2, 1) @ theirs.orientations), signed=False)

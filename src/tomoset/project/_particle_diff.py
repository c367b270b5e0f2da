"""How particles of a tomogram moved from one project to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.model import ParticleSet, Project
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


def particle_diff(
    projects: tuple[Project, Project], names: tuple[str, str], transform: Array | None
) -> ParticleDiff | None:
    """Compare the particles of one tomogram.

    Parameters
    ----------
    projects : (Project, Project)
        The old and the new one.
    names : (str, str)
        What they call the tomogram.
    transform : (4, 4) array, optional
        From old voxels to new ones; None: the frame is the same.
    """
    sets = [vars(project)["particles"] for project in projects]
    if all(one is None for one in sets):
        return None
    rows = [
        np.empty(0, np.int64) if one is None else one.in_tomogram(name)
        for one, name in zip(sets, names, strict=True)
    ]
    old, new = (len(one) for one in rows)
    if not old and not new:
        return None
    matched = _matched(sets, rows) if old and new else None
    if matched is None or not len(matched[0]):
        return ParticleDiff(old=old, new=new, both=0, moved=None, turned=None)
    frame = np.eye(4) if transform is None else transform
    pixel = projects[1].tomograms[names[1]].optics.pixel_size or 1.0
    before = geometry.apply(frame, sets[0].positions[matched[0]])
    apart = np.linalg.norm(sets[1].positions[matched[1]] - before, axis=1) * pixel
    return ParticleDiff(
        old=old,
        new=new,
        both=len(matched[0]),
        moved=Spread.of(apart, signed=False),
        turned=_turned(sets, matched, frame),
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


def _turned(sets: list[ParticleSet], matched: tuple[Rows, Rows], frame: Array) -> Spread | None:
    """Angles between orientations, where both sets know them."""
    if any(one.angles is None or np.isnan(one.angles).any() for one in sets):
        return None
    before, after = (
        one.select(index).orientations for one, index in zip(sets, matched, strict=True)
    )
    turn = geometry.nearest_rotation(frame[:3, :3])
    if np.linalg.det(turn) < 0:
        return None
    return Spread.of(geometry.turns((turn @ before).transpose(0, 2, 1) @ after), signed=False)

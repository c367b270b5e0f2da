"""What the job of one tomogram needs to know of its particles and the reference."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tomoset import derived
from tomoset.derived import identity
from tomoset.model import ParticleSet
from tomoset.particles.align.options import AlignOptions
from tomoset.particles.columns import halves
from tomoset.particles.reference import Reference
from tomoset.run import file_stamp

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReferenceFiles:
    """Where the reference is, by RELION's options.

    Parameters
    ----------
    ref1, ref2, mask, fsc : str or None
        Paths; the first is always there.
    """

    ref1: str
    ref2: str | None = None
    mask: str | None = None
    fsc: str | None = None

    def read(self) -> Reference:
        """The reference; the last one is kept, for the next tomogram."""
        return _read(self, self.stamps())

    def stamps(self) -> tuple[tuple[str | int, ...], ...]:
        """What the files are, ready for JSON; nothing for those that are not there."""
        paths = (self.ref1, self.ref2, self.mask, self.fsc)
        there = [path is not None and os.path.exists(path) for path in paths]
        return tuple(
            tuple(file_stamp(path)[1:]) if found and path is not None else ()
            for path, found in zip(paths, there, strict=True)
        )

    def absolute(self) -> ReferenceFiles:
        """The same from any folder."""
        paths = (self.ref1, self.ref2, self.mask, self.fsc)
        ref1, *others = (None if path is None else os.path.abspath(path) for path in paths)
        assert ref1 is not None
        return ReferenceFiles(ref1=ref1, ref2=others[0], mask=others[1], fsc=others[2])


@lru_cache(1)
def _read(files: ReferenceFiles, stamps: object) -> Reference:
    del stamps
    return Reference.read(files.ref1, files.ref2, mask=files.mask, fsc=files.fsc)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(derived.Task):
    """What one process needs to align a tomogram by its particles.

    Parameters
    ----------
    particles : ParticleSet
        Of this tomogram.
    trajectories : (n_particles, n_tilts, 3) array or None
        How they move [Å].
    reference : ReferenceFiles
    options : AlignOptions
    folder : str
        Where files go.
    file_name : str
        The tomogram's name, as files can have it.
    """

    particles: ParticleSet
    trajectories: Array | None
    reference: ReferenceFiles
    options: AlignOptions
    folder: str
    file_name: str

    def target(self, pattern: str) -> str:
        """Path of a file in the folder, its name made of the tomogram's."""
        return os.path.join(self.folder, pattern.replace("{name}", self.file_name))


def task_identity(task: Task) -> str:
    """Of images, alignment and particles: what has been found holds for these only."""
    p = task.particles
    text = hashlib.sha256(identity(task).encode())
    for array in (p.positions, p.orientations, halves(p), task.trajectories):
        text.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    if p.visible is not None:
        for mask in p.visible:
            text.update(mask.tobytes())
    return text.hexdigest()


def task_options(task: Task) -> dict[str, object]:
    """All that decides what the result is, ready for JSON."""
    return {
        "options": task.options.describe(),
        "reference": task.reference.stamps(),
        "target": task.target("alignment_{name}.star"),
        "of": task_identity(task),
    }

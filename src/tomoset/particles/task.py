"""What the jobs that compare particles with a reference know, and what is refused before them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tomoset import derived
from tomoset.derived import identity
from tomoset.errors import AssumptionWarning
from tomoset.model import ParticleSet
from tomoset.particles.aberrations import say_what_is_unread
from tomoset.particles.columns import check_optics, halves, missing_angles
from tomoset.particles.reference import Reference
from tomoset.run import file_stamp

Array = npt.NDArray[np.float64]

#: References of a project, and the field of `ReferenceFiles` that each is.
ENTRIES = {"half1": "ref1", "half2": "ref2", "mask": "mask", "fsc": "fsc"}


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
class ParticleTask(derived.Task):
    """A tomogram, its particles, and what they look like.

    Parameters
    ----------
    particles : ParticleSet
        Of this tomogram.
    trajectories : (n_particles, n_tilts, 3) array or None
        How they move [Å].
    reference : ReferenceFiles
        What they look like.
    folder : str
        Where files go.
    file_name : str
        The tomogram's name, as files can have it.
    """

    particles: ParticleSet
    trajectories: Array | None
    reference: ReferenceFiles
    folder: str
    file_name: str

    def target(self, pattern: str) -> str:
        """Path of a file in the folder, its name made of the tomogram's."""
        return os.path.join(self.folder, pattern.replace("{name}", self.file_name))


def task_identity(task: ParticleTask) -> str:
    """Of images, alignment and particles: what has been found holds for these only."""
    p = task.particles
    text = hashlib.sha256(identity(task).encode())
    aberrations = {number: optics.aberrations for number, optics in p.optics.items()}
    text.update(repr(aberrations).encode())
    for array in (p.positions, p.orientations, halves(p), p.optics_groups, task.trajectories):
        text.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    if p.visible is not None:
        for mask in p.visible:
            text.update(mask.tobytes())
    return text.hexdigest()


def check_tasks(tasks: Iterable[ParticleTask], files: ReferenceFiles) -> None:
    """Refuse particles and references that contradict tomograms, and say what is assumed.

    Raises
    ------
    ModelError
        If optics or pixel sizes differ.
    TomosetError
        If a file of the reference is missing or not what it should be.
    """
    reference = files.read()
    if files.ref2 is None or os.path.realpath(files.ref1) == os.path.realpath(files.ref2):
        warnings.warn(
            f"only one reference map is given (--ref1 {files.ref1}): it is taken for both halves, "
            "so particles are compared with a map that they are part of",
            AssumptionWarning,
            stacklevel=4,
        )
    for number, task in enumerate(tasks):
        if not number:  # all are from one file
            say_what_is_unread(task.particles)
            _say_halves(task.particles, files)
            _say_angles(task.particles)
        check_optics(task.particles, task.tomogram)
        pixel_size = task.tomogram.optics.pixel_size
        if pixel_size is not None:
            reference.check_pixel_size(pixel_size, task.tomogram.name)


def _say_halves(particles: ParticleSet, files: ReferenceFiles) -> None:
    if files.ref2 is not None and particles.halves is None:
        warnings.warn(
            "the particles have no half sets: they are taken for those of the first half map "
            "and of the second one in turns; unless the maps were made so, particles are compared "
            "with a map that they are part of",
            AssumptionWarning,
            stacklevel=5,
        )


def _say_angles(particles: ParticleSet) -> None:
    missing = missing_angles(particles)
    if missing:
        warnings.warn(
            f"the particles have no angle {' and '.join(missing)}, which is taken to be 0; unless "
            "the reference is a ball, align the particles first (subtomogram averaging)",
            AssumptionWarning,
            stacklevel=5,
        )

"""What programs that compare particles with a reference share: inputs, and what is refused."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, MissingFileError, ModelError
from tomoset.files import stamp
from tomoset.formats import working_format
from tomoset.model import ParticleSet
from tomoset.particles.aberrations import say_what_is_unread
from tomoset.particles.columns import check_optics, halves, missing_angles
from tomoset.particles.reference import Reference
from tomoset.programs._request import Request
from tomoset.programs._task import Task, identity
from tomoset.project import Project

O = TypeVar("O")  # noqa: E741 - options
Array = npt.NDArray[np.float64]
Stamps = tuple[tuple[str | int, ...], ...]

#: Options of the command line for what they have another name for.
_OPTIONS = {"half1": "ref1", "half2": "ref2"}


@dataclass(frozen=True, kw_only=True)
class ReferenceFiles:
    """Where the reference is.

    Parameters
    ----------
    half1, half2, mask, fsc : str, optional
        Paths. What is not given may be named by a project.
    """

    half1: str | None = None
    half2: str | None = None
    mask: str | None = None
    fsc: str | None = None

    def read(self) -> Reference:
        """The reference; the last one is kept, for the next tomogram.

        Raises
        ------
        ModelError
            If there is no first map.
        TomosetError
            If a file is missing or not what it should be.
        """
        return _read(self, self.stamps())

    def stamps(self) -> Stamps:
        """What the files are; nothing for those that are not there."""
        return tuple(
            () if path is None or not os.path.exists(path) else tuple(stamp(path))
            for path in vars(self).values()
        )

    def completed(self, project: Project) -> ReferenceFiles:
        """With those that a project names, where none is given.

        Raises
        ------
        MissingFileError
            If it names one that is not there.
        ModelError
            If there is no first map.
        """
        label = working_format(project.tomograms).label
        origin = project.path
        # Half maps belong together: one that is given goes with no other of the project.
        named = {k: v for k, v in project.references.items() if k != "half2" or not self.half1}
        for name, path in named.items():
            if getattr(self, name) is None and not os.path.isfile(path):
                raise MissingFileError(
                    f"{origin}: {label(name)} is {path!r}, and there is no such file; give another "
                    f"(--{_OPTIONS.get(name, name)})"
                )
        found = replace(self, **{k: v for k, v in named.items() if getattr(self, k) is None})
        if found.half1 is None:
            empty = f"; {label('half1')} of {origin} is empty or absent"
            raise ModelError(
                "there is no reference map: give --ref1 and --ref2 (half maps), or an optimisation "
                "set that names them (--i)" + empty * (origin is not None)
            )
        return found

    def named_by(self, project: Project) -> Project:
        """The project with these files for its references."""
        found = {name: path for name, path in vars(self).items() if path is not None}
        return project.with_sets(references={**project.references, **found})


@lru_cache(1)
def _read(files: ReferenceFiles, stamps: Stamps) -> Reference:
    del stamps
    if files.half1 is None:
        raise ModelError("there is no reference map (--ref1)")
    return Reference.read(files.half1, files.half2, mask=files.mask, fsc=files.fsc)


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleInputs:
    """The particles of a tomogram, and what they look like.

    Parameters
    ----------
    particles : ParticleSet
        Of this tomogram.
    trajectories : (n_particles, n_tilts, 3) array or None
        Displacements by motion [Å].
    reference : ReferenceFiles
        What they look like.
    """

    particles: ParticleSet
    trajectories: Array | None
    reference: ReferenceFiles


def particle_inputs(
    request: Request[O], reference: ReferenceFiles, without: str
) -> dict[str, ParticleInputs]:
    """The particles of each tomogram that has any.

    Parameters
    ----------
    request : Request
        Of a project with particles, and trajectories if there are any.
    reference : ReferenceFiles
        What they look like.
    without : str
        What does not work without particles, for messages: ``the CTF cannot be refined``.

    Raises
    ------
    ModelError
        If there are none, or none of the tomograms that are asked for.
    """
    particles, moving = need_particles(request.project, without), request.project.trajectories
    rows = particles.by_tomogram()
    if not any(t.name in rows for t in request.asked):
        asked = request.names[0] if request.names else next(iter(request.project.tomograms), "")
        raise ModelError(f"tomogram {asked!r} has no particles, and {without}")
    found = {}
    for name in (name for name in request.project.tomograms if name in rows):
        displaced, mine = None, particles.select(rows[name])
        if moving is not None:
            displaced = np.stack([moving[one] for one in mine.particle_names.tolist()])
        found[name] = ParticleInputs(
            particles=replace(mine, source=None),  # slim for other processes
            trajectories=displaced,
            reference=reference,
        )
    return found


def need_particles(project: Project, without: str) -> ParticleSet:
    """The particles of a project, or a ModelError."""
    if project.particles is None or not len(project.particles):
        raise ModelError(
            f"there are no particles, and {without}; give a particle set (--p), or an optimisation "
            "set that names one (--i)"
        )
    return project.particles


def inputs_of(task: Task[O]) -> ParticleInputs:
    """The inputs of a task, which are particles."""
    inputs: ParticleInputs = task.inputs
    return inputs


def identity_with_particles(task: Task[O]) -> str:
    """Of images, alignment and particles: what has been found holds for these only."""
    inputs = inputs_of(task)
    p = inputs.particles
    text = hashlib.sha256(identity(task).encode())
    aberrations = {number: optics.aberrations for number, optics in p.optics.items()}
    text.update(repr(aberrations).encode())
    arrays = p.positions, p.orientations, halves(p), p.optics_groups, inputs.trajectories
    for array in arrays:
        text.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    if p.visible is not None:
        for mask in p.visible:
            text.update(mask.tobytes())
    return text.hexdigest()


def options_and_reference(task: Task[O]) -> object:
    """What else a result depends on."""
    return [task.options, inputs_of(task).reference.stamps()]


def check_particles(
    project: Project, inputs: Mapping[str, ParticleInputs], files: ReferenceFiles
) -> None:
    """Refuse particles and references that contradict tomograms, and say what is assumed.

    Raises
    ------
    ModelError
        If optics or pixel sizes differ.
    TomosetError
        If a file of the reference is missing or not what it should be.
    """
    reference = files.read()
    halves_given = {os.path.realpath(path) for path in (files.half1, files.half2) if path}
    some = next(iter(inputs.values())).particles  # all are from one file
    say_what_is_unread(some)
    for said in _assumptions(some, files, one=len(halves_given) < 2):
        warnings.warn(said, AssumptionWarning, stacklevel=3)
    for name, of in inputs.items():
        particles, tomogram = of.particles, project.tomograms[name]
        check_optics(particles, tomogram)
        if tomogram.optics.pixel_size is not None:
            reference.check_pixel_size(tomogram.optics.pixel_size, tomogram.name)


def _assumptions(particles: ParticleSet, files: ReferenceFiles, *, one: bool) -> Iterable[str]:
    if one:
        yield (
            f"only one reference map is given (--ref1 {files.half1}): it is taken for both halves, "
            "so particles are compared with a map that they are part of"
        )
    if files.half2 is not None and particles.halves is None:
        yield (
            "the particles have no half sets: they are taken for those of the first half map "
            "and of the second one in turns; unless the maps were made so, particles are compared "
            "with a map that they are part of"
        )
    missing = missing_angles(particles)
    if missing:
        yield (
            f"the particles have no angle {' and '.join(missing)}, which is taken to be 0; unless "
            "the reference is a ball, align the particles first (subtomogram averaging)"
        )

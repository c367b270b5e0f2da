"""The sets that are linked to tomograms, written anew where a program changed them."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import FileAccessError, LossyWarning, MissingFileError, TomosetError
from tomoset.formats import LinkedFiles, working_format
from tomoset.model import Fiducials
from tomoset.paths import file_names
from tomoset.project import Project, fiducials_of
from tomoset.project.edit import without_tilts
from tomoset.project.transform import read_transforms, transform_project, transforms_to_star

Array = npt.NDArray[np.float64]

#: Files of the linked sets, by the fields of `Project`.
_FILES = {
    "particles": "particles.star",
    "manifolds": "manifolds.star",
    "trajectories": "motion.star",
}
#: Of what else may be written: the beads of tomograms, and the matrices of motions.
_FIDUCIALS, _MOTIONS = "fiducials", "motions"
_MOTIONS_FILE = "transforms.star"


def linked_files(project: Project, folder: str, changes: Collection[str]) -> list[str]:
    """The files that may be written besides the set; none of them may be one that is read.

    Parameters
    ----------
    project : Project
        As it was.
    folder : str
        Of the new set.
    changes : collection of str
        Fields of `Project` that may change; ``motions`` for the matrices of new frames.

    Raises
    ------
    FileAccessError
        If one is.
    """
    sources: dict[str, str | os.PathLike[str] | None] = {}
    for field, name in _FILES.items():
        if field in changes:
            sources[name] = _source(project, field)
    if _FIDUCIALS in changes:
        plain = file_names(project.tomograms)
        for name, t in project.tomograms.items():
            if t.fiducials is not None:
                sources[f"fiducials_{plain[name]}.star"] = t.fiducials
    if _MOTIONS in changes:
        sources[_MOTIONS_FILE] = None
    for name, source in sources.items():
        path = os.path.join(folder, name)
        if source is not None and os.path.realpath(source) == os.path.realpath(path):
            raise FileAccessError(
                f"{path} is linked to the set that is read, and would be replaced: give "
                "another folder for what is made of it"
            )
    return [os.path.join(folder, name) for name in sources]


def without_files(project: Project) -> list[str]:
    """What of a project was made, and is in no file: fields, as `linked_files` takes them."""
    made = [f for f in _FILES if _read(project, f) is not None and _source(project, f) is None]
    return made + [_FIDUCIALS] * any(_only_here(project, name) for name in project.fiducials)


def _only_here(project: Project, name: str) -> bool:
    """Whether a tomogram names no file of its fiducials."""
    return project.tomograms[name].fiducials is None


def _read(project: Project, field: str) -> Any:
    """A linked set; None if there is none, or it has not been read."""
    return None if field in project.unread else getattr(project, field)


def _source(project: Project, field: str) -> str | None:
    """The file that a linked set was read from, or is in."""
    path: str | None = getattr(_read(project, field), "path", project.unread.get(field))
    return path


def follow_motions(project: Project, folder: str) -> tuple[Project, list[str]]:
    """The project with all that follows tomograms into another frame, and the files of that.

    All is read at once: what is not there or does not fit is known before the first job.

    Parameters
    ----------
    project : Project
        As it was.
    folder : str
        Of the new set.

    Raises
    ------
    FileAccessError
        If a file that is read would be replaced.
    TomosetError
        If a set is not there, or does not fit.
    """
    project = project.load()
    bare = _without_fiducials(project)
    still = dict.fromkeys(bare.tomograms, np.eye(4))
    transform_project(bare, still, transformed=bare.tomograms)  # a rehearsal
    if project.particles is None:
        warnings.warn(
            "no particles are linked to the set, so none follow tomograms into another frame: "
            "coordinates of before need the matrices of "
            f"{os.path.join(folder, _MOTIONS_FILE)} (tomoset.project.transform.move_project)",
            LossyWarning,
            stacklevel=4,
        )
    there = [field for field in _FILES if _read(project, field) is not None]
    return project, linked_files(project, folder, [*there, _FIDUCIALS, _MOTIONS])


def follow_images(project: Project, folder: str) -> tuple[Project, list[str]]:
    """The project with all that follows where tilt images are taken out, and the files of that.

    Parameters, and errors, as `follow_motions`.
    """
    project = project.load()
    there = [field for field in _FILES if _read(project, field) is not None]
    return project, linked_files(project, folder, [*there, _FIDUCIALS])


def without_images(project: Project, rows: Mapping[str, Mapping[int, str]]) -> Project:
    """The project without tilt images, by tomogram and row from 0, and why; the rest follows."""
    if not rows:
        return project
    found = {name: _beads(project, name, "has fewer tilt images") for name in rows}
    seen = {n: beads for n, beads in found.items() if beads is not None and beads.observations}
    bare = [replace(t, fiducials=None) if t.name in seen else t for t in project.tomograms.values()]
    project = project.with_sets(
        tomograms=project.tomograms.with_tomograms(bare), fiducials={**project.fiducials, **seen}
    )
    return without_tilts(project, rows)


def transformed(project: Project, after: Project, motions: Mapping[str, Array]) -> Project:
    """The new project, where all that refers to tomograms is in their new frames.

    Parameters
    ----------
    project, after : Project
        As it was, all of it read, and with the tomograms in their new frames.
    motions : mapping of str to (4, 4) array
        By tomogram name.

    Raises
    ------
    TomosetError
        If something cannot follow.
    """
    tomograms = after.tomograms
    bare = [name for name in motions if tomograms[name].fiducials is None]
    found = {name: _beads(project, name, "has another frame") for name in bare}
    beads = {name: fiducials for name, fiducials in found.items() if fiducials is not None}
    before = _without_fiducials(after.with_sets(tomograms=project.tomograms))
    return transform_project(before.with_sets(fiducials=beads), motions, transformed=tomograms)


def _without_fiducials(project: Project) -> Project:
    """They are looked at when it is known which tomograms name others."""
    bare = (replace(t, fiducials=None) for t in project.tomograms.values())
    return project.with_sets(tomograms=project.tomograms.with_tomograms(bare), fiducials={})


def _beads(project: Project, name: str, change: str) -> Fiducials | None:
    """The fiducials of the old frame, if they are there."""
    if name in project.fiducials:
        return project.fiducials[name]
    tomograms = project.tomograms
    try:
        return fiducials_of(tomograms[name], working_format(tomograms).name)
    except MissingFileError as problem:
        warnings.warn(
            f"tomogram {name!r} {change}, and its fiducials cannot follow: {problem}",
            LossyWarning,
            stacklevel=5,
        )
        return None


def changed_sets(project: Project, after: Project, folder: str) -> LinkedFiles:
    """What is to be written of a project besides its tomograms: sets that are others than before.

    Parameters
    ----------
    project, after : Project
        As it was, and as it is.
    folder : str
        Where it is written to.

    Raises
    ------
    FileAccessError
        If a file that was read would be replaced.
    ModelError
        If sets contradict each other.
    """
    new = without_files(project)
    same = [f for f in _FILES if f not in new and _read(after, f) is _read(project, f)]
    beads = {
        name: fiducials
        for name, fiducials in after.fiducials.items()
        if project.fiducials.get(name) is not fiducials or _only_here(after, name)
    }
    changes = [f for f in _FILES if f not in same] + [_FIDUCIALS] * bool(beads)
    linked_files(project, folder, changes)
    others = after.with_sets(fiducials=beads, **dict.fromkeys(same))
    return working_format(after.tomograms).linked_files(others, folder)


def motions_file(motions: Mapping[str, Array], folder: str) -> dict[str, bytes]:
    """The table of motions, by the path of its file."""
    table = b"".join(star.encode(transforms_to_star(motions)))
    return {os.path.join(folder, _MOTIONS_FILE): table} if motions else {}


def forget_motions(folder: str) -> None:
    """Remove the table of an earlier run: it would be taken for this set's."""
    path = os.path.join(folder, _MOTIONS_FILE)
    with contextlib.suppress(TomosetError, OSError):  # not ours, or not there
        read_transforms(path)
        os.remove(path)

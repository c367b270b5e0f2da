"""The sets that are linked to tomograms, carried along where these have moved."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.derived.job import set_path
from tomoset.errors import FileAccessError, LossyWarning, MissingFileError, TomosetError
from tomoset.formats import working_format
from tomoset.formats._files import file_names, find_file
from tomoset.model import Fiducials, TomogramSet
from tomoset.project import Project, fiducials_of
from tomoset.project.transform import move_project, moves_to_star, read_moves

Array = npt.NDArray[np.float64]

#: The table of the moves, beside the set.
MOVES = "moves.star"


@dataclass(frozen=True, kw_only=True, eq=False)
class Carried:
    """What is written with a set of tomograms.

    Parameters
    ----------
    tomograms : TomogramSet
        As they are to be written.
    contents : dict of str to bytes
        By path: what has been carried along, and the moves.
    entries : dict of str to str
        Fields of the project, and their files instead of those that there were.
    """

    tomograms: TomogramSet
    contents: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)


class Followers(Protocol):
    """Sets that are written with the tomograms, as results say.

    Attributes
    ----------
    targets : sequence of str
        The files that may be written.
    """

    targets: Sequence[str]

    def carried(self, tomograms: TomogramSet, results: Mapping[str, dict[str, Any]]) -> Carried:
        """What goes with the tomograms, given all results that are there, by tomogram."""
        ...


def targets_beside(folder: str, sources: Mapping[str, str | os.PathLike[str] | None]) -> list[str]:
    """Paths of files in a folder, by name; none of them may be the one that it is made from.

    Raises
    ------
    FileAccessError
        If one is.
    """
    for name, source in sources.items():
        path = os.path.join(folder, name)
        if source is not None and os.path.realpath(source) == os.path.realpath(path):
            raise FileAccessError(
                f"{path} is linked to the set that is read, and would be replaced: give "
                "another folder for what is made of it"
            )
    return [os.path.join(folder, name) for name in sources]


def source_path(linked: Any) -> str | None:
    """The file that a linked set was read from, if there is one."""
    path = getattr(getattr(getattr(linked, "source", None), "file", None), "path", None)
    return None if path is None else os.fspath(path)


def links_file(project: Project, path: str, carried: Mapping[str, str]) -> bytes:
    """What ties a new set of tomograms to all that belongs to it.

    Parameters
    ----------
    project : Project
        As it was; what it names goes on.
    path : str
        Of the new set.
    carried : dict of str to str
        Fields of the project, and files that are theirs with this set.
    """
    format = working_format(project.tomograms)
    return format.links_file(project, {**carried, "tomograms": path})


def forget_moves(folder: str) -> None:
    """Remove the table of an earlier run: it would be taken for this set's."""
    path = os.path.join(folder, MOVES)
    with contextlib.suppress(TomosetError, OSError):  # not ours, or not there
        read_moves(path)
        os.remove(path)


class Linked:
    """The sets that are linked to the tomograms of a project.

    They are read at once: what is not there or does not fit is known before the first job.

    Parameters
    ----------
    project : Project
        The tomograms as they were, and what refers to them.
    folder : str
        Of the new set.

    Attributes
    ----------
    targets : list of str
        The files that may be written, besides the set.

    Raises
    ------
    FileAccessError
        If one of them is a file that is read.
    TomosetError
        If a set is not there, or does not fit.
    """

    def __init__(self, project: Project, folder: str) -> None:
        project = project.load()
        self._before, self._read, self._folder = project.tomograms, project.fiducials, folder
        # Fiducials are looked at when it is known which tomograms name others.
        bare = self._before.with_tomograms(
            replace(t, fiducials=None) for t in self._before.values()
        )
        self._project = project.with_sets(tomograms=bare, fiducials={})
        self.targets = self._targets()
        move_project(self._project, dict.fromkeys(bare, np.eye(4)), moved=bare)  # a rehearsal
        if project.particles is None:
            warnings.warn(
                "no particles are linked to the set, so none go with tomograms that are turned: "
                "coordinates of before need the matrices of "
                f"{os.path.join(folder, MOVES)} (tomoset.project.transform.move_project)",
                LossyWarning,
                stacklevel=4,
            )

    def _targets(self) -> list[str]:
        """The files that may be written, besides the set; none of them is read."""
        p = self._project
        sources: dict[str, str | os.PathLike[str] | None] = {
            name: source_path(linked)
            for name, linked in (
                ("particles.star", p.particles),
                ("manifolds.star", p.manifolds),
                ("motion.star", p.trajectories),
            )
            if linked is not None
        }
        plain, origin = file_names(self._before), set_path(self._before)
        for name, t in self._before.items():
            if t.fiducials is not None:
                sources[f"fiducials_{plain[name]}.star"] = find_file(t.fiducials, origin)
        return targets_beside(self._folder, {MOVES: None, **sources})

    def carried(self, tomograms: TomogramSet, moves: Mapping[str, Array]) -> Carried:
        """What goes with tomograms of which these have moved.

        Raises
        ------
        TomosetError
            If something cannot follow. Nothing has been written.
        """
        found = {name: self._beads(name) for name in moves if tomograms[name].fiducials is None}
        beads = {name: fiducials for name, fiducials in found.items() if fiducials is not None}
        moved = move_project(self._project.with_sets(fiducials=beads), moves, moved=tomograms)
        linked = working_format(tomograms).linked_files(moved, self._folder)
        table = b"".join(star.encode(moves_to_star(moves)))
        contents = {**linked.contents, os.path.join(self._folder, MOVES): table}
        return Carried(tomograms=linked.tomograms, contents=contents, entries=linked.paths)

    def _beads(self, name: str) -> Fiducials | None:
        """The fiducials of the old frame, if they are there."""
        if name in self._read:
            return self._read[name]
        try:
            return fiducials_of(self._before[name], set_path(self._before), self._before.format)
        except MissingFileError as problem:
            warnings.warn(
                f"tomogram {name!r} is turned, and its fiducials cannot follow: {problem}",
                LossyWarning,
                stacklevel=5,
            )
            return None

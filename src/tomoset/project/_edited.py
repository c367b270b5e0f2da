"""A project read from files, changed, and written to others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tomoset.errors import ModelError
from tomoset.files import Guard
from tomoset.formats import working_format
from tomoset.model import Project
from tomoset.model.io import StrPath
from tomoset.project._read import open_project
from tomoset.project._write import write_at
from tomoset.project.history import writing
from tomoset.project.stacks import with_stacks


@dataclass(frozen=True, kw_only=True, eq=False)
class Edited:
    """A project that was changed: as it was, as it is, and what to give to the next program."""

    before: Project
    after: Project
    path: str


def edit_files(
    source: StrPath,
    target: StrPath,
    edit: Callable[[Project], Project],
    *,
    overwrite: bool = False,
) -> Edited:
    """Read a project with all that belongs to it, change it, and write it: all of it, or nothing.

    Parameters
    ----------
    source : path-like
        A tomogram set, an optimisation set, or a folder with one.
    target : path-like
        The set to write, or a folder for it; what belongs to it goes beside it.
    edit : callable
        Gives the changed project, such as those of `tomoset.project.edit`.
    overwrite : bool
        Whether files that are there are replaced; those that are read never are.

    Raises
    ------
    TomosetError
        If something cannot be read, changed or written.

    Examples
    --------
    >>> from tomoset.project.edit import select
    >>> made = edit_files("tomograms.star", "some", lambda project: select(project, ["TS_*"]))
    >>> made.path
    'some/tomograms.star'
    """
    before = open_project(source, check_links=False)
    path = _set_path(target)
    guard = Guard(before.named_files, overwrite=overwrite)
    with writing(os.path.dirname(path), guard, before.set_files):
        return _written(before, edit(before), path)


def merge_files(
    sources: Sequence[StrPath],
    target: StrPath,
    merge: Callable[[Sequence[Project]], Project],
    *,
    overwrite: bool = False,
) -> Edited:
    """The same of several projects, of which one is made.

    Parameters
    ----------
    sources : sequence of path-like
        Tomogram sets, optimisation sets, or folders with one.
    target, overwrite
        As of `edit_files`.
    merge : callable
        Gives the one project.
    """
    projects = [open_project(source, check_links=False) for source in sources]
    path = _set_path(target)
    guard = Guard(lambda: (f for p in projects for f in p.named_files()), overwrite=overwrite)
    with writing(
        os.path.dirname(path), guard, lambda: [f for p in projects for f in p.set_files()]
    ):
        return _written(projects[0], merge(projects), path)


def split_files(
    source: StrPath,
    folder: StrPath,
    split: Callable[[Project], Mapping[str, Project]],
    *,
    overwrite: bool = False,
) -> dict[str, Edited]:
    """The same of a project of which several are made, each in a folder of its name.

    Parameters
    ----------
    source, overwrite
        As of `edit_files`.
    folder : path-like
        Where the folders go.
    split : callable
        Gives the parts by name.
    """
    before = open_project(source, check_links=False)
    guard = Guard(before.named_files, overwrite=overwrite)
    with writing(folder, guard, before.set_files):
        return {
            name: _written(before, part, os.path.join(folder, name, "tomograms.star"))
            for name, part in split(before).items()
        }


def _set_path(target: StrPath) -> str:
    path = os.fspath(target)
    if os.path.isdir(path) or not os.path.splitext(path)[1]:
        return os.path.join(path, "tomograms.star")
    return path


def _written(before: Project, after: Project, path: str) -> Edited:
    ready = _with_images(after, path)
    return Edited(before=before, after=ready, path=write_at(ready, path))


def _with_images(project: Project, path: str) -> Project:
    """A project that is to be written, with stacks of images where its format needs them.

    Raises
    ------
    ModelError
        If it has no tomogram.
    """
    if not len(project.tomograms):
        raise ModelError("no tomogram would be left, so nothing is written")
    format = working_format(project.tomograms)
    if format.can("single images"):
        return project
    stacks = with_stacks(project.tomograms, path, parts=format.can("parts of stacks"))
    return project.with_sets(tomograms=stacks)

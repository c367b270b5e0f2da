"""Sets that belong together, read by following the links."""

from __future__ import annotations

import os
import warnings

from tomoset.errors import LossyWarning, MissingFileError, TomosetError, joined
from tomoset.formats import check_images, format_named, open_linked, open_parts, working_format
from tomoset.model import Fiducials, Project, Tomogram, TomogramSet
from tomoset.model.io import StrPath


def open_project(
    path: StrPath,
    *,
    tomograms: StrPath | None = None,
    particles: StrPath | None = None,
    manifolds: StrPath | None = None,
    trajectories: StrPath | None = None,
    check_links: bool = True,
) -> Project:
    """Read a tomogram set and all that belongs to it.

    Paths inside a file start in the project folder: each folder above the file is tried, the
    nearest first, then the working folder.

    Parameters
    ----------
    path : path-like
        An optimisation set, a tomogram set, or a folder with one of them.
    tomograms, particles, manifolds, trajectories : path-like, optional
        Files to take instead of the entries of the optimisation set, as RELION's --t, --p,
        --man and --mot; from the working folder.
    check_links : bool
        Whether a file that is named but not there is an error. If not, a set stays in
        `Project.unread`, and fiducials stay a path of their tomogram.

    Returns
    -------
    Project

    Raises
    ------
    MissingFileError
        If a file is not there: the message has the entry, the file, and the option to give.
    AmbiguityError
        If a folder could mean several sets.
    FileFormatError
        If a file is not what it should be, or refers to what is not there.

    Examples
    --------
    >>> project = open_project("optimisation_set.star")
    >>> project.particles.positions.shape
    (3, 3)
    """
    project = open_linked(
        path,
        tomograms=tomograms,
        particles=particles,
        manifolds=manifolds,
        trajectories=trajectories,
    )
    return read_all(project, check_links=check_links)


def open_readable(path: StrPath, *, linked: bool = True, **given: StrPath | None) -> Project:
    """As much of a project as can be read.

    For programs that only look: series that cannot be read are left out, and sets that are not
    there stay unread, each with a warning.

    Parameters
    ----------
    path : path-like
        As of `open_project`.
    linked : bool
        Whether what belongs to the tomograms is read too.
    **given : path-like
        Files to take instead, by the names of `open_project`.

    Raises
    ------
    TomosetError
        If no series can be read.
    """
    for file in given.values():
        if file is not None and not os.path.isfile(file):
            raise MissingFileError(f"{os.fspath(file)}: there is no such file")
    reading = open_parts(path, **given)
    tomograms = reading.project.tomograms
    failures = list(reading.failures)
    if failures and not len(tomograms):
        raise joined([failure.error for failure in failures])
    for failure in failures:
        warnings.warn(
            f"series {failure.name!r} is left out: {failure.error}", LossyWarning, stacklevel=2
        )
    if not linked:
        return reading.project
    project, problems = with_linked(reading.project)
    if problems:
        raise joined(problems)
    for name, file in project.unread.items():
        warnings.warn(f"the {name} are left out: there is no {file}", LossyWarning, stacklevel=2)
    return with_fiducials(project)


def with_fiducials(project: Project) -> Project:
    """A project with the fiducials that its tomograms name, as far as they are there."""
    return project.with_sets(fiducials=_read_fiducials(project.tomograms, strict=False))


def with_linked(project: Project) -> tuple[Project, list[TomosetError]]:
    """A project with as many of its linked sets as can be read, one by one.

    Sets that are not there stay unread; those that are damaged too, and are said.
    """
    problems, found, left = list[TomosetError](), project, dict[str, str]()
    for name, path in project.unread.items():
        try:
            found = found.with_sets(unread={name: path}).load(check_links=False)
        except TomosetError as problem:
            problems.append(problem)
        if vars(found)[name] is None:
            left[name] = path
    return found.with_sets(unread=left), problems


def open_tomograms(path: StrPath, *, tomograms: StrPath | None = None) -> Project:
    """Read a tomogram set; what belongs to it stays unread (`Project.load` reads it).

    For programs that make a new set of tomograms and pass on what is linked to the old one,
    and that open the images themselves.

    Parameters
    ----------
    path, tomograms : path-like
        As of `open_project`.

    Returns
    -------
    Project

    Raises
    ------
    TomosetError
        As `open_project`.

    Examples
    --------
    >>> project = open_tomograms("Picks/job009")  # doctest: +SKIP
    >>> project.unread  # doctest: +SKIP
    mappingproxy({'particles': 'Picks/job009/particles.star'})
    """
    return open_linked(path, tomograms=tomograms)


def read_all(project: Project, *, check_links: bool = True) -> Project:
    """A project with all that it links to, fiducials too, and its stacks looked at.

    Raises
    ------
    TomosetError
        As `open_project`.
    """
    check_images(project.tomograms, project.tomograms.path or "")
    project = project.load(check_links=check_links)
    beads = _read_fiducials(project.tomograms, strict=check_links)
    return project.with_sets(fiducials=beads)


def _read_fiducials(tomograms: TomogramSet, *, strict: bool) -> dict[str, Fiducials]:
    out, absent = {}, list[Exception]()
    for name, tomogram in tomograms.items():
        try:
            fiducials = fiducials_of(tomogram, working_format(tomograms).name)
        except MissingFileError as problem:
            absent.append(problem)
            continue
        if fiducials is not None:
            out[name] = fiducials
    if strict and absent:
        raise joined(absent)
    return out


def fiducials_of(tomogram: Tomogram, format: str) -> Fiducials | None:
    """The fiducials of a tomogram of a set; None if it names none.

    Parameters
    ----------
    tomogram : Tomogram
        What names their file.
    format : str
        Of the set: the file itself does not show from where its voxels are counted.

    Raises
    ------
    MissingFileError
        If the file is not there.
    FileFormatError
        If it is something else.
    """
    found = fiducials_file(tomogram)
    return None if found is None else format_named(format).read_fiducials(found, tomogram)


def fiducials_file(tomogram: Tomogram) -> str | None:
    """The file of a tomogram's fiducials; None if it names none.

    Raises
    ------
    MissingFileError
        If it names one that is not there.
    """
    path = tomogram.fiducials
    if path is not None and not os.path.isfile(path):
        raise MissingFileError(
            f"tomogram {tomogram.name!r} names the fiducials {path!r}, and there is no such file "
            "in the working folder or in a folder above the set; put it there, or remove the entry"
        )
    return path

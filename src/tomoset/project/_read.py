"""Sets that belong together, read by following the links (specification 7)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tomoset import formats, star
from tomoset.errors import (
    AmbiguityError,
    MissingFieldError,
    MissingFileError,
)
from tomoset.formats import _relion_sets as sets
from tomoset.formats._files import fiducials_file, find_file
from tomoset.formats._relion_sets.optimisation import (
    MANIFOLDS,
    PARTICLES,
    TOMOGRAMS,
    TRAJECTORIES,
)
from tomoset.model import (
    Fiducials,
    Tomogram,
    TomogramSet,
)
from tomoset.model.project import Project, StrPath

#: The entries that are read, with RELION's option and ours for each.
_OPTIONS = {
    TOMOGRAMS: "tomograms (--t)",
    PARTICLES: "particles (--p)",
    MANIFOLDS: "manifolds (--man)",
    TRAJECTORIES: "trajectories (--mot)",
}


#: What a folder may hold, without an optimisation set: global tables by RELION's names.
_GLOBAL_TABLES = (
    "tomograms.star",
    "aligned_tilt_series.star",
    "selected_tilt_series.star",
    "tilt_series_ctf.star",
    "corrected_tilt_series.star",
    "tilt_series.star",
)


def open_project(
    path: StrPath,
    *,
    tomograms: StrPath | None = None,
    particles: StrPath | None = None,
    manifolds: StrPath | None = None,
    trajectories: StrPath | None = None,
    check_links: bool = True,
    prepare: Callable[[TomogramSet], TomogramSet] = lambda tomograms: tomograms,
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
        Whether a file that is named but not there is an error. If not, it is left out: its
        entry stays in `Project.references`, and fiducials stay a path of their tomogram.
    prepare : callable, optional
        What is done to the tomogram set before the others are read against it, such as giving
        it sizes that its files do not say.

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
    >>> project = open_project("Picks/job009")  # doctest: +SKIP
    >>> project.particles.positions  # doctest: +SKIP
    """
    given = {
        TOMOGRAMS: tomograms,
        PARTICLES: particles,
        MANIFOLDS: manifolds,
        TRAJECTORIES: trajectories,
    }
    files, optimisation = _linked_files(Path(path), given, strict=check_links)
    return replace(_read_sets(files, prepare), optimisation_set=optimisation)


def open_tomograms(path: StrPath, *, tomograms: StrPath | None = None) -> Project:
    """Read a tomogram set, alone or as an optimisation set names it; nothing else is read.

    For programs that make a new set of tomograms and pass on what is linked to the old one,
    and that open the images themselves (`formats.read_without_images`).

    Parameters
    ----------
    path, tomograms : path-like
        As of `open_project`.

    Returns
    -------
    Project
        Tomograms, and the text of the optimisation set if there was one.

    Raises
    ------
    TomosetError
        As `open_project`.
    """
    files, optimisation = _linked_files(Path(path), {TOMOGRAMS: tomograms}, strict=False)
    read = formats.read_without_images(files.tomograms())
    return Project(tomograms=read, optimisation_set=optimisation)


def _linked_files(
    path: Path, given: Mapping[str, StrPath | None], *, strict: bool
) -> tuple[_Files, star.StarFile | None]:
    """Where the files of a project are, and its optimisation set if there is one."""
    start = _in_folder(path) if path.is_dir() else path
    text = star.read(start)
    is_linked = sets.is_optimisation_set(text)
    entries: Mapping[str, str] = {}
    if is_linked:
        entries = sets.read_optimisation_set(text).entries
    elif (tomograms := given.get(TOMOGRAMS)) is not None:
        raise AmbiguityError(
            f"{start} is no optimisation set, and {os.fspath(tomograms)} is given as tomograms "
            "(--t); give only one of them"
        )
    else:
        given = {**given, TOMOGRAMS: start}
    files = _Files(given=given, entries=entries, star_path=os.fspath(start), strict=strict)
    return files, text if is_linked else None


def _in_folder(folder: Path) -> Path:
    """The set that a folder means."""
    found = sorted(folder.glob("*optimisation_set.star"))
    exact = folder / "optimisation_set.star"
    if exact in found:
        _refuse_two_sets(folder, exact)
        return exact
    if not found:
        found = [folder / name for name in _GLOBAL_TABLES if (folder / name).is_file()]
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise AmbiguityError(f"{folder} holds {names}; give the path of the one that is meant")
    if not found:
        raise MissingFileError(
            f"{folder} holds no optimisation_set.star and no tomograms.star; give the path of "
            "such a file"
        )
    return found[0]


def _refuse_two_sets(folder: Path, optimisation: Path) -> None:
    """A folder whose own tomograms.star is not the one that its optimisation set names."""
    own = folder / "tomograms.star"
    if not own.is_file():
        return
    text = star.read(optimisation)
    entries = sets.read_optimisation_set(text).entries
    name = entries.get(TOMOGRAMS)
    named = None if name is None else find_file(name, os.fspath(optimisation))
    if named is None or not named.samefile(own):
        raise AmbiguityError(
            f"{folder} holds tomograms.star and optimisation_set.star, which names "
            f"{name or 'no tomogram set'}; give the path of the one that is meant"
        )


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Where the linked files are."""

    given: Mapping[str, StrPath | None]
    entries: Mapping[str, str]
    star_path: str
    strict: bool

    def find(self, entry: str) -> Path | None:
        """The file of an entry; None where there is none, or none that must be there."""
        given = self.given.get(entry)
        if given is not None:
            if not Path(given).is_file():
                raise MissingFileError(
                    f"{os.fspath(given)}: there is no such file; it was given as {_OPTIONS[entry]}"
                )
            return Path(given)
        name = self.entries.get(entry)
        if name is None:
            return None
        found = find_file(name, self.star_path)
        if found is None and (self.strict or entry == TOMOGRAMS):
            raise MissingFileError(
                f"{self.star_path}: {entry} is {name!r}, and there is no such file in a folder "
                f"above it or in the working folder; give another as {_OPTIONS[entry]}"
            )
        return found

    def tomograms(self) -> Path:
        """The tomogram set, without which there is no project."""
        found = self.find(TOMOGRAMS)
        if found is None:
            raise MissingFieldError(
                f"no tomogram set: {TOMOGRAMS} is empty or absent; give one as "
                f"{_OPTIONS[TOMOGRAMS]}",
                path=self.star_path,
            )
        return found


def _read_sets(files: _Files, prepare: Callable[[TomogramSet], TomogramSet]) -> Project:
    found = {entry: files.find(entry) for entry in _OPTIONS}
    star_path = files.tomograms()
    tomograms = prepare(formats.read(star_path))
    return replace(
        _with_linked(Project(tomograms=tomograms), found),
        fiducials=_read_fiducials(tomograms, star_path, strict=files.strict),
        references={e: text for e, text in files.entries.items() if found.get(e) is None},
    )


def _with_linked(project: Project, found: Mapping[str, Path | None]) -> Project:
    """With the sets of these files, read against its tomograms."""
    tomograms = project.tomograms
    particles = manifolds = trajectories = None
    if (path := found[PARTICLES]) is not None:
        particles = sets.read_particles(path, tomograms)
    if (path := found[MANIFOLDS]) is not None:
        manifolds = sets.read_manifolds(path, tomograms)
    if (path := found[TRAJECTORIES]) is not None:
        trajectories = sets.read_trajectories(path, particles, tomograms)
    return replace(project, particles=particles, manifolds=manifolds, trajectories=trajectories)


def read_linked(
    project: Project,
    *,
    particles: StrPath | None = None,
    trajectories: StrPath | None = None,
) -> Project:
    """The project with particles, manifolds and trajectories that `open_tomograms` left unread.

    Parameters
    ----------
    project : Project
        What is read in it already stays as it is.
    particles, trajectories : path-like, optional
        As of `open_project`.

    Raises
    ------
    TomosetError
        As `open_project`, if a file is not there, or does not fit.
    """
    text = project.optimisation_set
    there = (project.particles, project.manifolds, project.trajectories)
    given = {PARTICLES: particles, TRAJECTORIES: trajectories}
    if any(one is not None for one in there):
        return project
    entries = {} if text is None else sets.read_optimisation_set(text).entries
    path = (None if text is None else text.path) or "optimisation_set.star"
    files = _Files(given=given, entries=entries, star_path=path, strict=True)
    found = {entry: files.find(entry) for entry in (PARTICLES, MANIFOLDS, TRAJECTORIES)}
    return _with_linked(project, found)


def _read_fiducials(tomograms: TomogramSet, path: Path, *, strict: bool) -> dict[str, Fiducials]:
    out = {}
    for name, tomogram in tomograms.items():
        try:
            fiducials = fiducials_of(tomogram, path, tomograms.format)
        except MissingFileError:
            if strict:
                raise
            continue
        if fiducials is not None:
            out[name] = fiducials
    return out


def fiducials_of(tomogram: Tomogram, set_path: StrPath | None, format: str) -> Fiducials | None:
    """The fiducials of a tomogram of a set; None if it names none.

    Parameters
    ----------
    tomogram : Tomogram
        What names their file.
    set_path : path-like or None
        The STAR file of the set, from which paths are found.
    format : str
        Of the set: the file itself does not show from where its voxels are counted.

    Raises
    ------
    MissingFileError
        If the file is not there.
    FileFormatError
        If it is something else.
    """
    found = fiducials_file(tomogram, set_path)
    if found is None:
        return None
    return sets.read_fiducials(
        found,
        dialect=format,
        pixel_size=tomogram.optics.pixel_size,
        n_tilts=tomogram.n_tilts,
    )

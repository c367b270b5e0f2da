"""Which files of RELION belong together: followed from an optimisation set.

See docs/relion.md, 'Sets that refer to tomograms'.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tomoset import star
from tomoset.errors import AmbiguityError, MissingFieldError, MissingFileError, joined, some_of
from tomoset.formats import _relion_sets as sets
from tomoset.formats._relion_labels import LABELS
from tomoset.formats._words import StrPath
from tomoset.model.project import LINKED, Project
from tomoset.paths import Finder, find_file

#: Fields of a project that are references, by what an optimisation set calls them.
REFERENCES = ("half1", "half2", "mask", "fsc")
#: What each set is, and the parameter by which another is given.
_OPTIONS = {
    "tomograms": "the tomogram set (`tomograms`)",
    "particles": "the particles (`particles`)",
    "manifolds": "the manifolds (`manifolds`)",
    "trajectories": "the trajectories (`trajectories`)",
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """Files that belong together, their paths as they are found from the working folder.

    Parameters
    ----------
    tomograms : Path
        The tomogram set.
    unread, references : dict of str to str
        By the fields of `Project`.
    file : StarFile or None
        The optimisation set, if there is one.
    """

    tomograms: Path
    unread: dict[str, str]
    references: dict[str, str]
    file: star.StarFile | None


def follow(path: StrPath, given: Mapping[str, StrPath]) -> Links:
    """The files of a project.

    Parameters
    ----------
    path : path-like
        An optimisation set, a tomogram set, or a folder with one of them.
    given : mapping of str to path-like
        Files to take instead of the entries, by field.

    Raises
    ------
    MissingFileError, MissingFieldError
        If the tomogram set, or a file that is given, is not there.
    AmbiguityError
        If a folder could mean several sets.
    """
    start = _in_folder(Path(path)) if os.path.isdir(path) else Path(path)
    text = star.read(start)
    is_linked = sets.is_optimisation_set(text)
    if not is_linked and "tomograms" in given:
        raise AmbiguityError(
            f"{start} is no optimisation set, and {os.fspath(given['tomograms'])} is given as "
            "the tomogram set (`tomograms`); give only one of them"
        )
    said = {}
    if is_linked:
        said, finder = paths_of(text), Finder(text.path)
        sets.warn_of_unknown_labels(text, lambda name: finder.find(name) is not None)
    return Links(
        tomograms=_tomograms(said, given, os.fspath(start)) if is_linked else start,
        unread={
            name: os.fspath(given_file(name, given[name])) if name in given else said[name]
            for name in LINKED
            if name in given or name in said
        },
        references={name: said[name] for name in REFERENCES if name in said},
        file=text if is_linked else None,
    )


def is_linked(path: StrPath) -> bool:
    """Whether a path means more than a tomogram set: a folder, or an optimisation set."""
    return os.path.isdir(path) or sets.is_optimisation_set(star.read(path))


def paths_of(file: star.StarFile) -> dict[str, str]:
    """Paths that an optimisation set names, by field, as they are found from the working folder."""
    finder, entries = Finder(file.path), sets.read_optimisation_set(file).entries
    return {name: finder.here(entries[label]) for name, label in LABELS.items() if label in entries}


def _tomograms(said: Mapping[str, str], given: Mapping[str, StrPath], star_path: str) -> Path:
    """The tomogram set, without which there is no project."""
    if "tomograms" in given:
        return given_file("tomograms", given["tomograms"])
    if "tomograms" not in said:
        raise MissingFieldError(
            f"no tomogram set: {LABELS['tomograms']} is empty or absent; name "
            f"{_OPTIONS['tomograms']}",
            path=star_path,
        )
    return linked_file("tomograms", said["tomograms"], star_path)


def given_file(name: str, path: StrPath) -> Path:
    """A file that was given; MissingFileError if it is not there."""
    if not os.path.isfile(path):
        raise MissingFileError(
            f"{os.fspath(path)}: there is no such file; it was given for {_OPTIONS[name]}"
        )
    return Path(path)


def linked_file(name: str, path: str, star_path: str | None) -> Path:
    """A file that an optimisation set names; MissingFileError if it is not there."""
    if not os.path.isfile(path):
        raise MissingFileError(
            f"{star_path or 'the project'}: {LABELS[name]} is {path!r}, and there is no such file "
            f"in a folder above it or in the working folder; put it there, give another for "
            f"{_OPTIONS[name]}, or take the entry out"
        )
    return Path(path)


def load(project: Project, given: Mapping[str, StrPath], *, check_links: bool) -> Project:
    """The project with all that is unread, and what is given instead, read."""
    if check_links:
        _refuse_absent(project, given)
    for name in LINKED:
        if name in given:
            path = given_file(name, given[name])
        elif name not in project.unread:
            continue
        elif os.path.isfile(project.unread[name]):
            path = Path(project.unread[name])
        else:
            continue
        project = project.with_sets(**{name: _read(name, path, project)})
    return project


def _refuse_absent(project: Project, given: Mapping[str, StrPath]) -> None:
    """Refuse entries without a file, all at once."""
    absent = []
    for name in (name for name in LINKED if name in project.unread and name not in given):
        try:
            linked_file(name, project.unread[name], project.path)
        except MissingFileError as problem:
            absent.append(problem)
    if absent:
        raise joined(absent)


def _read(name: str, path: Path, project: Project) -> object:
    tomograms = project.tomograms
    if name == "particles":
        return sets.read_particles(path, tomograms)
    if name == "manifolds":
        return sets.read_manifolds(path, tomograms)
    particles = None if "particles" in project.unread else project.particles
    return sets.read_trajectories(path, particles, tomograms)


def _in_folder(folder: Path) -> Path:
    """The set that a folder means."""
    found = sorted(folder.glob("*optimisation_set.star"))
    exact = folder / "optimisation_set.star"
    if exact in found:
        _refuse_two_sets(folder, exact)
        return exact
    if not found:
        found = [folder / name for name in _GLOBAL_TABLES if _is_set(folder / name)]
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise AmbiguityError(f"{folder} holds {names}; give the path of the one that is meant")
    if not found:
        known = ("optimisation_set.star", *_GLOBAL_TABLES)
        inside = sorted({str(path.parent) for name in known for path in folder.glob(f"*/{name}")})
        raise MissingFileError(
            f"{folder} holds no optimisation_set.star and no tomograms.star"
            + f", but {some_of(inside)} may" * bool(inside)
            + "; give the path of such a file or folder"
        )
    return found[0]


def _is_set(path: Path) -> bool:
    """Whether a file lists tomograms, and not series that are to be imported."""
    tables = star.read(path).tables if os.path.isfile(path) else ()
    return any("rlnTomoName" in t and "rlnTomoImportImodDir" not in t for t in tables)


def _refuse_two_sets(folder: Path, optimisation: Path) -> None:
    """A folder whose own tomograms.star is not the one that its optimisation set names."""
    own = folder / "tomograms.star"
    if not os.path.isfile(own):
        return
    text = star.read(optimisation)
    name = sets.read_optimisation_set(text).entries.get(LABELS["tomograms"])
    named = None if name is None else find_file(name, optimisation)
    if named is None or not named.samefile(own):
        raise AmbiguityError(
            f"{folder} holds tomograms.star and optimisation_set.star, which names "
            f"{name or 'no tomogram set'}; give the path of the one that is meant"
        )

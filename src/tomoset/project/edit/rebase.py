"""Other paths in all sets of a project: absolute, relative, or of a project that was moved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from tomoset.errors import AssumptionWarning, ModelError, some_of
from tomoset.images.mrc import stack_path
from tomoset.model import Project, Source, Tomogram
from tomoset.model.io import StrPath

Change = Callable[[str], str]


def rebase(
    project: Project,
    *,
    absolute: bool = False,
    relative_to: StrPath | None = None,
    moved: Mapping[str, str] | None = None,
) -> Project:
    """A project whose sets name the same files by other paths; one of the three is given.

    Images, halves, movies, volumes, reference maps, and paths in columns that nobody knows. What
    is not there by its new name is a warning. Files that are written with the set are named as
    ever, from the working folder.

    Parameters
    ----------
    project : Project
        All of it read.
    absolute : bool
        Whether paths become absolute.
    relative_to : path-like, optional
        The project folder that paths are to start in.
    moved : mapping of str to str
        Old beginnings of paths, whole folders, and what stands in their place.

    Raises
    ------
    ModelError
        If no path is changed.

    Examples
    --------
    >>> from tomoset import Optics, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=1.0), stack="/old/a.mrc")
    >>> with warnings.catch_warnings(action="ignore"):
    ...     there = rebase(Project(tomograms=TomogramSet([one])), moved={"/old": "/new"})
    >>> there.tomograms["a"].stack
    '/new/a.mrc'
    """
    if [absolute or None, relative_to, moved or None].count(None) != 2:
        raise ModelError("say one way to name files: absolute, relative, or moved")
    if moved:
        change, only_files, start = _mover(moved), False, ""
    elif absolute:
        change, only_files, start = os.path.abspath, True, ""
    else:
        start = os.fspath(relative_to or "")
        change, only_files = (lambda path: os.path.relpath(path, start or ".")), True
    seen: dict[str, str] = {}
    after = _renamed(project, _named(change, seen), _texts(change, seen, only_files=only_files))
    changed = [path for path, new in seen.items() if path != new]
    if not changed:
        there = some_of(list(seen), 3) or "none"
        raise ModelError(f"no path is changed; there are such as {there}")
    absent = [new for new in seen.values() if not os.path.exists(os.path.join(start, new))]
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(seen)} files are not there by these names: "
            f"{some_of(absent, 3)}",
            AssumptionWarning,
            stacklevel=2,
        )
    return after


def _mover(moved: Mapping[str, str]) -> Change:
    """Other beginnings of paths, by whole folders; the longest that fits."""
    pairs = sorted(moved.items(), key=lambda pair: -len(pair[0]))

    def change(path: str) -> str:
        for old, new in pairs:
            bare = old.rstrip("/") or "/"
            if path == bare or path.startswith(bare.rstrip("/") + "/"):
                rest = path[len(bare) :].lstrip("/")
                return os.path.join(new, rest) if rest else new
        return path

    return change


def _named(change: Change, seen: dict[str, str]) -> Change:
    """What becomes of a name that is a file's: ``000003@stack.st:mrc`` too."""

    @cache
    def new(name: str) -> str:
        number, at, path = name.rpartition("@")
        file = stack_path(path)
        if file in ("", "None"):
            return name
        seen[file] = change(file)
        return f"{number}{at}{seen[file]}{path[len(file) :]}"

    return new


def _texts(change: Change, seen: dict[str, str], *, only_files: bool) -> Change:
    """The same of a text that may be something else: only what is there, or is changed."""
    named = _named(change, seen)

    @cache
    def new(text: str) -> str:
        file = stack_path(text.rpartition("@")[2])
        if "/" not in text and "@" not in text and not _has_ending(file):
            return text
        if (only_files and os.path.exists(file)) or (not only_files and change(file) != file):
            return named(text)
        return text

    return new


def _has_ending(file: str) -> bool:
    return os.path.splitext(file)[1][1:2].isalpha()


def _renamed(project: Project, new: Change, text: Change) -> Project:
    def tomogram(t: Tomogram) -> Tomogram:
        return _tomogram(t, new, text).with_excluded(tomogram)

    held = vars(project)  # as it is: what has not been read is named too
    tomograms, particles = project.tomograms, held["particles"]
    if particles is not None and particles.source is not None:
        particles = replace(particles, source=particles.source.with_paths(text))
    changes = {
        "tomograms": tomograms.with_tomograms(map(tomogram, tomograms.values())),
        "particles": particles,
        "references": {what: new(path) for what, path in project.references.items()},
        "unread": {what: new(path) for what, path in project.unread.items()},
    }
    return Project(**{**held, **changes})


def _tomogram(t: Tomogram, new: Change, text: Change) -> Tomogram:
    def each(names: Iterable[str] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(map(new, names))

    def one(path: str | None) -> str | None:
        return None if path is None else new(path)

    made, halves, source = t.reconstruction, t.half_images, t.source
    if made is not None:
        made = replace(
            made,
            path=one(made.path),
            half1=one(made.half1),
            half2=one(made.half2),
            others={what: new(path) for what, path in made.others.items()},
        )
    return replace(
        t,
        stack=one(t.stack),
        images=each(t.images),
        movies=each(t.movies),
        fiducials=one(t.fiducials),
        half_images=halves and (each(halves[0]) or (), each(halves[1]) or ()),
        reconstruction=made,
        source=None if source is None else _source(source, text),
    )


def _source(source: Source, text: Change) -> Source:
    """Texts of columns that the model does not know."""
    row = {
        label: value if label in source.row_values else text(value)
        for label, value in source.row.items()
    }
    tilts = {
        label: values if label in source.tilt_values else [text(value) for value in values]
        for label, values in source.tilts.items()
    }
    return replace(source, row=row, tilts=tilts)

"""Sets and projects, read in the format that their files show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tomoset import star
from tomoset.errors import (
    FileFormatError,
    MissingFileError,
    UnknownFormatError,
    joined,
    some_of,
)
from tomoset.files import read_bytes, recover
from tomoset.formats._files import wrong_stack
from tomoset.formats._format import Format
from tomoset.formats._list import FORMATS, format_named, format_of
from tomoset.formats._relion import HEAD
from tomoset.formats._relion_links import follow
from tomoset.formats._relion_links import is_linked as _ties_sets
from tomoset.formats._words import (
    Failure,
    Reading,
    StrPath,
)
from tomoset.model import Project, TomogramSet

#: So many files of a folder are asked whose they are.
_LOOKED_AT = 40


#: What else a STAR file may be, by a label that tells.
_OTHERS = {
    "rlnTomoImportImodDir": "a RELION import table; give it to `tomoset import imod --i`",
    "rlnCoordinateX": "a particle set",
    "rlnCenteredCoordinateXAngst": "a particle set of RELION 5",
    "rlnTomoManifoldIndex": "a manifold set",
    "rlnTomoTomogramsFile": "an optimisation set; give the file its rlnTomoTomogramsFile names",
    "rlnTomoProjX": "the table of one tilt series, without the table data_global",
    "rlnMicrographPreExposure": "the table of one tilt series; give the global file that names it",
    "rlnMicrographName": "a set of micrographs (single particles)",
    "motl_idx": "a motive list of STOPGAP; give it to `tomoset import particles`",
    "wrpMovieName": "a Warp tilt series (.tomostar); give it to `tomoset import warp`",
}


def read(path: StrPath, format: str | None = None) -> TomogramSet:
    """Read a tomogram set.

    Parameters
    ----------
    path : path-like
        The (global) STAR file.
    format : str, optional
        Name of the format; found from the content if not given.

    Returns
    -------
    TomogramSet
        With every table, column and text of the file: `TomogramSet.write` gives them back.

    Raises
    ------
    FileFormatError
        If the file is not such a set, with the line that shows it.
    UnknownFormatError
        If no format recognises it; the message says what the file looks like.

    Examples
    --------
    >>> import tomoset
    >>> s = tomoset.read("tomograms.star")
    >>> s["TS_01"].project([[100, 200, 50]]).shape
    (9, 1, 2)
    """
    tomograms = read_without_images(path, format)
    check_images(tomograms, path)
    return tomograms


def read_without_images(path: StrPath, format: str | None = None) -> TomogramSet:
    """Read a tomogram set as `read`, whatever its stacks hold.

    For programs that open the images themselves, and let one bad stack stop no other.
    """
    return _read_at(path, format).tomograms


def _read_at(path: StrPath, format: str | None = None) -> Project:
    """What is there, all of it."""
    return _whole(_parts_at(path, format))


def _parts_at(path: StrPath, format: str | None = None) -> Reading:
    chosen = _format_at(path) if format is None else format_named(format)
    return chosen.read([path])


def _whole(reading: Reading) -> Project:
    """What was read, if that is all; else what is wrong, of all tomograms."""
    if reading.failures:
        raise joined([failure.error for failure in reading.failures])
    return reading.project


def check_images(tomograms: TomogramSet, path: StrPath) -> None:
    """Refuse stacks with other images than a set says; FileFormatError, with their lines."""
    wrong = list(wrong_images(tomograms, path))
    if wrong:
        raise joined([failure.error for failure in wrong])


def wrong_images(tomograms: TomogramSet, path: StrPath) -> Iterator[Failure]:
    """Tomograms whose stacks have other images than the set says, and what is wrong with them."""
    lines = format_of(tomograms).lines_of(tomograms)
    for name, tomogram in tomograms.items():
        wrong = wrong_stack(tomogram)
        if wrong:
            yield Failure(name=name, error=FileFormatError(wrong, path=path, line=lines.get(name)))


def open_linked(path: StrPath, **given: StrPath | None) -> Project:
    """A tomogram set, with all that belongs to it still unread.

    Parameters
    ----------
    path : path-like
        What ties sets together, a tomogram set, or a folder with one of them.
    **given : path-like
        Files to take instead: ``tomograms``, and the sets of `Project`.

    Raises
    ------
    TomosetError
        If the tomogram set is not there or cannot be read, or could be several.
    """
    return _whole(open_parts(path, **given))


def open_parts(path: StrPath, **given: StrPath | None) -> Reading:
    """As `open_linked`, but what is wrong with a tomogram is a failure and stops no other.

    Raises
    ------
    TomosetError
        If the tomogram set is not there or is none, or could be several.
    """
    recover(path if os.path.isdir(path) else os.path.dirname(path) or ".")
    if os.path.isdir(path):
        for format in FORMATS:
            if format.detect(os.fspath(path), b""):
                return format.read([path])
        _refuse_parent(Path(path))
    alone = _alone(path)
    if alone is not None and not any(given.values()):
        return alone.read([path])
    links = follow(path, {name: file for name, file in given.items() if file is not None})
    reading = _parts_at(links.tomograms)
    project = Project(
        tomograms=reading.project.tomograms,
        unread=links.unread,
        references=links.references,
        source=links.file,
    )
    return replace(reading, project=project)


def is_linked(path: StrPath) -> bool:
    """Whether a path means more than a tomogram set: a folder, or an optimisation set."""
    return _alone(path) is None and _ties_sets(path)


def _alone(path: StrPath) -> Format | None:
    """The format of a file that is a series by itself, and no table of RELION's."""
    if not os.path.isfile(path):
        return None
    head = read_bytes(path, HEAD)
    able = [format for format in FORMATS if not format.can("linked sets")]
    return next((format for format in able if format.detect(os.fspath(path), head)), None)


def series_inside(folder: Path) -> dict[str, Format]:
    """Folders of single series that a folder holds, by name, each with its format."""
    return {
        inside.name: format
        for inside in sorted(folder.iterdir())
        if inside.is_dir()
        for format in FORMATS
        if format.detect(os.fspath(inside), b"")
    }


def other_importer(path: str, format: Format) -> Format | None:
    """The format, with options of reading, whose files something is that another was asked for."""
    inside = sorted(os.listdir(path))[:_LOOKED_AT] if os.path.isdir(path) else []
    others = [f for f in FORMATS if f is not format and f.options]
    for place in (path, *(os.path.join(path, name) for name in inside)):
        head = read_bytes(place, HEAD) if os.path.isfile(place) else b""
        found = next((f for f in others if os.path.exists(place) and f.detect(place, head)), None)
        if found is not None:
            return found
    return None


def _refuse_parent(folder: Path) -> None:
    """Refuse a folder that holds no set, but folders of series."""
    series = {} if any(folder.glob("*.star")) else series_inside(folder)
    if series:
        format, names = next(iter(series.values())), some_of([*series])
        raise UnknownFormatError(
            f"holds no set, but {len(series)} of {format.package}'s folders ({names}): give one of "
            f"them, or make a set of them: tomoset import {format.name} "
            f"{os.path.join(os.fspath(folder), '*')} -o SET",
            path=folder,
        )


def _format_at(path: StrPath) -> Format:
    """The format that recognises what is there."""
    name = os.fspath(path)
    is_folder = os.path.isdir(name)
    if not is_folder and not os.path.exists(name):
        raise MissingFileError(f"{name}: there is no such file or folder")
    recover(name if is_folder else os.path.dirname(name) or ".")
    head = b"" if is_folder else read_bytes(name, HEAD)
    for format in FORMATS:
        if format.detect(name, head):
            return format
    if is_folder:
        raise UnknownFormatError("a folder that no format recognises", path=path)
    raise UnknownFormatError(f"not a tomogram set: {_looks_like(star.read(path))}", path=path)


def _looks_like(text: star.StarFile) -> str:
    labels = {label for table in text.tables for label in table.columns}
    for label, what in _OTHERS.items():
        if label in labels:
            return f"it looks like {what}"
    return "no table has a column rlnTomoName; a RELION tomograms.star was expected"

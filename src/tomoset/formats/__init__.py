"""The formats, as a list that a person can read. Each reads into and writes from the model."""

from __future__ import annotations

import os

from tomoset import star
from tomoset.errors import FileFormatError, MissingFileError, UnknownFormatError, UnsupportedError
from tomoset.files import read_bytes
from tomoset.formats._files import wrong_stack
from tomoset.formats._format import (
    BEYOND_RIGID,
    Ability,
    Failure,
    Format,
    Loss,
    Option,
    Reading,
    StrPath,
    Tolerance,
)
from tomoset.formats._relion import HEAD
from tomoset.formats.relion4 import RELION4
from tomoset.formats.relion5 import RELION5
from tomoset.model import TomogramSet
from tomoset.model.tomogram_set import WRITERS

__all__ = [
    "BEYOND_RIGID",
    "FORMATS",
    "Ability",
    "Failure",
    "Format",
    "Loss",
    "Option",
    "Reading",
    "Tolerance",
    "TomogramSet",
    "format_named",
    "format_of",
    "read",
    "read_without_images",
    "refuse_unable",
    "working_format",
]

#: The order is that of the documentation, and in which a file is asked what it is.
FORMATS: tuple[Format, ...] = (RELION5, RELION4)

WRITERS.update({f.name: f.write_set for f in FORMATS if "linked sets" in f.abilities})

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
    "wrpMovieName": "a Warp tilt series (.tomostar)",
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
    >>> s = tomoset.read("tomograms.star")  # doctest: +SKIP
    >>> s["TS_01"].project([[100, 200, 50]])  # doctest: +SKIP
    """
    tomograms = read_without_images(path, format)
    for tomogram in tomograms.values():
        wrong = wrong_stack(tomogram, os.fspath(path))
        if wrong:
            line = format_of(tomograms).line_of(tomograms, tomogram.name)
            raise FileFormatError(wrong, path=path, line=line)
    return tomograms


def read_without_images(path: StrPath, format: str | None = None) -> TomogramSet:
    """Read a tomogram set as `read`, whatever its stacks hold.

    For programs that open the images themselves, and let one bad stack stop no other.
    """
    chosen = _format_at(path) if format is None else format_named(format)
    return chosen.read([path]).project.tomograms


def format_named(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    UnknownFormatError
        With the names that there are.
    """
    for format in FORMATS:
        if format.name == name:
            return format
    names = ", ".join(format.name for format in FORMATS)
    raise UnknownFormatError(f"no format is called {name!r}; there are {names}")


def format_of(tomograms: TomogramSet) -> Format:
    """The format that a set came in."""
    return format_named(tomograms.format)


def working_format(tomograms: TomogramSet) -> Format:
    """The format in which programs write a set: its own, if it has files of whole sets.

    Of the others, RELION 4's says most.
    """
    own = format_of(tomograms)
    return own if own.can("linked sets") else RELION4


def refuse_unable(tomograms: TomogramSet, *abilities: Ability) -> None:
    """Refuse to give a set what its format cannot say.

    Raises
    ------
    UnsupportedError
        With formats that can.
    """
    format = working_format(tomograms)
    for ability in abilities:
        if not format.can(ability):
            able = [f"--to {f.name}" for f in FORMATS if f.can(ability) and f.writes]
            more = any(map(format.can, BEYOND_RIGID))
            rigid = "" if more else "knows rigid alignments only, and "
            raise UnsupportedError(
                f"{format.package} {rigid}cannot say {ability}: leave it fixed, or convert the set "
                f"first (tomoset convert {' or '.join(able)})"
            )


def _format_at(path: StrPath) -> Format:
    """The format that recognises what is there."""
    name = os.fspath(path)
    is_folder = os.path.isdir(name)
    if not is_folder and not os.path.exists(name):
        raise MissingFileError(f"{name}: there is no such file or folder")
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

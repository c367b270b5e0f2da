"""The formats, as a list that a person can read. Each reads into and writes from the model."""

from __future__ import annotations

import os

from tomoset import star
from tomoset.errors import FileFormatError, UnknownFormatError
from tomoset.formats import relion4, relion5
from tomoset.formats._files import wrong_stack
from tomoset.formats._format import Format
from tomoset.model import TomogramSet
from tomoset.model.tomogram_set import WRITERS

#: Formats of whole sets, in the order of the documentation.
FORMATS: dict[str, Format] = {f.name: f for f in (relion5.RELION5, relion4.RELION4)}

WRITERS.update({f.name: f.write for f in FORMATS.values()})

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


def read(path: str | os.PathLike[str], format: str | None = None) -> TomogramSet:
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
            raise FileFormatError(wrong, path=path, line=_line_of(tomograms, tomogram.name))
    return tomograms


def read_without_images(path: str | os.PathLike[str], format: str | None = None) -> TomogramSet:
    """Read a tomogram set as `read`, whatever its stacks hold.

    For programs that open the images themselves, and let one bad stack stop no other.
    """
    text = star.read(path)
    if format is not None:
        if format not in FORMATS:
            raise UnknownFormatError(
                f"no format is called {format!r}; there are {', '.join(FORMATS)}", path=path
            )
        return FORMATS[format].read(text)
    for candidate in FORMATS.values():
        if candidate.detect(text):
            return candidate.read(text)
    raise UnknownFormatError(f"not a tomogram set: {_looks_like(text)}", path=path)


def _line_of(tomograms: TomogramSet, name: str) -> int | None:
    """The line of a tomogram in the global table."""
    head = getattr(tomograms.source, "head", tomograms.source)
    for table in head.tables if isinstance(head, star.StarFile) else ():
        names = list(table.get("rlnTomoName") or ())
        if name in names:
            return table.line_of(names.index(name))
    return None


def _looks_like(text: star.StarFile) -> str:
    labels = {label for table in text.tables for label in table.columns}
    for label, what in _OTHERS.items():
        if label in labels:
            return f"it looks like {what}"
    return "no table has a column rlnTomoName; a RELION tomograms.star was expected"

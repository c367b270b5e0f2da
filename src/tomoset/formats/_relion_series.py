"""Where the tables of tilt images of RELION 5 are: in files of their own, or in the global one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tomoset import star
from tomoset.errors import MissingFileError
from tomoset.formats._relion import refuse_duplicates
from tomoset.formats._relion_labels import STAR_FILE, excluded_name
from tomoset.paths import Finder


def without_series(text: star.StarFile, table: star.Table) -> star.StarFile:
    """The global file without the tables of tilt images that it holds if it names no other file."""
    if STAR_FILE in table:
        return text
    refuse_duplicates(text, table)
    names = {name for one in table["rlnTomoName"] for name in (one, excluded_name(one))}
    return replace(text, tables=tuple(t for t in text if t is table or t.name not in names))


def own_tables(
    text: star.StarFile, tables: dict[str, star.Table], names: Iterable[str]
) -> star.StarFile:
    """The tables of one tomogram, as a file of their own."""
    return replace(text, tables=tuple(tables[name] for name in names if name in tables))


def series_file(table: star.Table, row: int, name: str, finder: Finder) -> star.StarFile:
    path = table[STAR_FILE][row]
    found = finder.find(path)
    if found is None:
        raise MissingFileError(
            f"{table.path}:{table.line_of(row)}: tomogram {name!r}: {path} is not there; it is "
            "looked for in each folder above the set and in the working folder; put it there, or "
            "take the line out of the set"
        )
    return star.read(found)

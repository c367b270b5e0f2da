"""Dynamo's tables of particles (``.tbl``), with the map of their tomograms (``.doc``).

https://www.dynamo-em.org/w/index.php?title=Table: one row a particle, at least 26 columns. What
decides each sign is in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tomoset.formats._numbered_tables import Numbered, NumberedTables
from tomoset.formats._picks import COMPLEX, Array, column_texts, read_columns, scored, whole
from tomoset.model import Tomogram, TomogramSet

#: Columns from 0: shift, Euler angles, score, wedge, tomogram, position.
_SHIFT, _ANGLES, _PLACE = slice(3, 6), slice(6, 9), slice(23, 26)
_TAG, _ALIGNED, _AVERAGED, _SCORE, _WEDGE, _TOMOGRAM, _CLASS = 0, 1, 2, 9, slice(12, 17), 19, 21
_WIDTH, _LEAST = 35, 26
#: In `_WEDGE`: a series tilted about y alone.
_SINGLE_AXIS = 1


class Dynamo(NumberedTables):
    """Tables of particles."""

    name = "dynamo"
    package = "Dynamo"
    url = "https://www.dynamo-em.org/w/index.php?title=Table"
    reads = "particle tables `.tbl`, with the map of tomograms `.doc`"
    particle_files = (".tbl",)

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether the first line is of as many numbers as a table has."""
        first = head.split(b"\n", 1)[0].decode("latin-1")
        words = COMPLEX.sub(r"\1", first).split()
        if not path.endswith(self.particle_files) or len(words) < _LEAST:
            return False
        try:
            list(map(float, words))
        except ValueError:
            return False
        return True

    def table_of(self, path: str) -> Numbered:
        """Columns of a table; its rotation is from the tomogram to the particle."""
        table = read_columns(path, _LEAST)
        return Numbered(
            numbers=table[:, _TOMOGRAM],
            places=table[:, _PLACE],
            shifts=table[:, _SHIFT],
            angles=-table[:, _ANGLES][:, ::-1],
            classes=whole(table[:, _CLASS]),
            scores=scored(table[:, _SCORE]),
        )

    def content(self, table: Numbered, tomograms: TomogramSet, numbers: Mapping[str, int]) -> bytes:
        """All 35 columns, with the range of tilts."""
        rows = np.zeros((len(table.numbers), _WIDTH))
        rows[:, _TAG] = np.arange(1, len(rows) + 1)
        rows[:, [_ALIGNED, _AVERAGED]] = 1
        rows[:, _PLACE], rows[:, _SHIFT] = table.places, table.shifts
        rows[:, _ANGLES], rows[:, _TOMOGRAM] = -table.angles[:, ::-1], table.numbers
        for column, values in ((_CLASS, table.classes), (_SCORE, table.scores)):
            if values is not None:
                rows[:, column] = values
        for name, number in numbers.items():
            rows[table.numbers == number, _WEDGE] = _wedge(tomograms[name])
        return column_texts(rows, _formats()).encode()


def _wedge(tomogram: Tomogram) -> Array:
    """Columns 13 to 17: kind of the wedge, and the range of tilts about y and x [deg]."""
    tilts: Any = tomogram.nominal_tilts
    if tomogram.projections is not None or tomogram.alignment is not None:
        tilts = tomogram.tilt_angles
    if tilts is None or not np.isfinite(tilts).any():
        return np.zeros(5)
    return np.array([_SINGLE_AXIS, np.nanmin(tilts), np.nanmax(tilts), 0.0, 0.0])


def _formats() -> list[str]:
    """Of the columns: numbers with a fraction where they may have one."""
    formats = ["%d"] * _WIDTH
    for columns in (_SHIFT, _ANGLES):
        formats[columns] = ["%.9f"] * 3
    formats[_SCORE] = "%.9g"
    formats[_WEDGE] = ["%d", *["%.4f"] * 4]
    return formats


DYNAMO = Dynamo()

"""Columns of numbers that can be what they say, or an error with file, line and label."""

from __future__ import annotations

import numpy as np

from tomoset import star
from tomoset.errors import ImpossibleValueError
from tomoset.formats._texts import Array
from tomoset.model.quantities import refuse_impossible

#: What RELION writes for a number that it does not know (docs/relion.md, 'Files of RELION 5').
UNKNOWN = -999.0


def read_floats(table: star.Table, label: str) -> Array | None:
    """A column of numbers, read-only, or None where the table has no such column."""
    if label not in table:
        return None
    values = table.floats(label)
    values.flags.writeable = False
    return values


def known_floats(table: star.Table, label: str) -> Array | None:
    """The same, NaN where a number is not known; None where none of them is."""
    values = read_floats(table, label)
    if values is None or not len(values):
        return values
    absent = np.isnan(values) | (values == UNKNOWN)
    if not absent.any():
        return values
    if absent.all():
        return None
    known = np.where(absent, np.nan, values)
    known.flags.writeable = False
    return known


def possible_floats(table: star.Table, label: str, field: str, *, unknown: bool = False) -> Array:
    """A column of what a field of the model can be.

    Parameters
    ----------
    table : Table
        With the column.
    label : str
        Of the column.
    field : str
        As `tomoset.model.quantities` calls it.
    unknown : bool
        Whether nan may stand for what is not known.

    Raises
    ------
    FileFormatError
        If a value is no number, or an impossible one.
    """
    values = table.floats(label)
    refuse_in_column(table, label, field, values, unknown=unknown)
    return values


def refuse_in_column(
    table: star.Table, label: str, field: str, values: Array, *, unknown: bool = False
) -> None:
    """Refuse what a column cannot say, as `possible_floats`."""
    try:
        refuse_impossible(field, values, each="row", unknown=unknown)
    except ImpossibleValueError as problem:
        raise table.error(str(problem), problem.row, label) from problem

"""Columns of text that stay as they were, wherever they still say the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import star

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: The dialects, and the version that RELION writes above its tables.
VERSIONS = {"relion4": "# version 30001", "relion5": "# version 50001"}

_VERSION = re.compile(r"# version [0-9]+\Z")


def in_version(table: star.Table, dialect: str) -> star.Table:
    """The same table, said to be of another version of RELION where it names one."""
    comments = tuple(VERSIONS[dialect] if _VERSION.match(c) else c for c in table.comments)
    return replace(table, comments=comments)


def exact_texts(values: Array) -> list[str]:
    """Texts of many numbers, the shortest that give them back to the last bit.

    Not rounded, as values per tilt image are: a coordinate goes through a pixel size and a
    centre and back, and stays where it was.
    """
    numbers = (values + 0.0).tolist()  # no -0.0
    if numbers and numbers.count(numbers[0]) == len(numbers):
        return [repr(numbers[0])] * len(numbers)
    return list(map(repr, numbers))


def merge(old: Sequence[str], same: Mask, texts: Iterable[str]) -> Sequence[str]:
    """Old texts where they say the same, and the new ones of the other rows.

    Where nothing changed the old column itself comes back: that of a big table is never
    turned into text at all.
    """
    rows = np.flatnonzero(~same)
    if not len(rows):
        return old
    out = list(old)
    for row, text in zip(rows.tolist(), texts, strict=True):
        out[row] = text
    return out


def float_texts(table: star.Table | None, label: str, values: Array) -> Sequence[str]:
    """A column of numbers; those that nobody changed as they were read."""
    if table is None or label not in table:
        return exact_texts(values)
    before = table.floats(label)
    same = (before == values) | (np.isnan(before) & np.isnan(values))
    return merge(table[label], same, exact_texts(values[~same]))


def int_texts(table: star.Table | None, label: str, values: Ints) -> Sequence[str]:
    """A column of integers; those that nobody changed as they were read."""
    if table is None or label not in table:
        return list(map(str, values.tolist()))
    same = table.ints(label) == values
    return merge(table[label], same, map(str, values[~same].tolist()))


def some(names: Iterable[str], most: int = 5) -> str:
    """A few names for a message."""
    every = list(names)
    return ", ".join(map(repr, every[:most])) + (" ..." if len(every) > most else "")

"""Columns of text that stay as they were, wherever they still say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

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


#: Decimals of what tomoset computes: degrees, Å and e/Å² beyond any meaning, and no 1e-17.
DECIMALS = 9


def number_texts(values: Array) -> list[str]:
    """Texts of many numbers per tilt image, without what computing leaves in the last digits."""
    return exact_texts(values.round(DECIMALS))


def vector_texts(values: Array) -> list[str]:
    """Texts of many vectors; those that are all one, as the last row of matrices, are made once."""
    if len(values) and (values == values[0]).all():
        return star.format_vectors(values[:1]) * len(values)
    return star.format_vectors(values)


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


def same_entries(before: Any, now: Any) -> Mask:
    """Which entries of two columns of values are equal to the last bit; NaN is NaN.

    A column is an array with an entry along its first axis, or a sequence of texts.
    """
    if before is now:
        return np.ones(len(now), np.bool_)
    if before is None or np.shape(before) != np.shape(now):
        return np.zeros(len(now), np.bool_)
    if not isinstance(now, np.ndarray):
        return np.array([a == b for a, b in zip(before, now, strict=True)], np.bool_)
    same = (before == now) | ((before != before) & (now != now))
    return np.asarray(same.all(axis=tuple(range(1, same.ndim))))


def kept(
    old: Sequence[str] | None, before: Any, now: Any, texts: Callable[[Any], Iterable[str]]
) -> Sequence[str]:
    """Texts of a column that says `now`: those that it had, wherever that is what they said.

    Parameters
    ----------
    old : sequence of str or None
        What a file had; None: it had no such column.
    before, now : (n, ...) arrays, or sequences of str
        What those texts were read as, and what the model says.
    texts : callable
        From some of those values to their texts.
    """
    if old is None:
        return list(texts(now))
    same = same_entries(before, now)
    if same.all():
        return old
    changed = now[~same] if isinstance(now, np.ndarray) else [now[i] for i in np.flatnonzero(~same)]
    return merge(old, same, texts(changed))


def float_texts(table: star.Table | None, label: str, values: Array) -> Sequence[str]:
    """A column of numbers; those that nobody changed as they were read."""
    if table is None or label not in table:
        return exact_texts(values)
    return kept(table[label], table.floats(label), values, exact_texts)


def int_texts(table: star.Table | None, label: str, values: Ints) -> Sequence[str]:
    """A column of integers; those that nobody changed as they were read."""
    if table is None or label not in table:
        return whole_texts(values)
    return kept(table[label], table.ints(label), values, whole_texts)


def whole_texts(values: Ints) -> list[str]:
    """Texts of integers."""
    return list(map(str, values.tolist()))


def some(names: Iterable[str], most: int = 5) -> str:
    """A few names for a message."""
    every = list(names)
    return ", ".join(map(repr, every[:most])) + (" ..." if len(every) > most else "")

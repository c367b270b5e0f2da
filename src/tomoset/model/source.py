"""The text that a tomogram was read from.

A format keeps it beside the values, so that columns which nobody knows come back, and
values which nobody changed are written with the same text. The model only carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Texts of one tomogram, by column, and what they said when they were read.

    Parameters
    ----------
    format : str
        Name of the format that reads these columns.
    row : mapping of str to str
        What the global table says of this tomogram.
    tilts : mapping of str to sequence of str
        What the tomogram's own table says, one text per tilt image.
    row_values, tilt_values : mapping of str to value
        What the model took of each column that it knows: its text is good for as long as the
        model says the same. Of `tilts`, an array or a tuple with an entry per tilt image.
    """

    format: str
    row: Mapping[str, str] = field(default_factory=dict)
    tilts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    row_values: Mapping[str, Any] = field(default_factory=dict)
    tilt_values: Mapping[str, Any] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> Source:
        """The texts of some tilt images, in the order asked for."""
        tilts = {label: [texts[i] for i in rows] for label, texts in self.tilts.items()}
        values = {label: take(value, rows) for label, value in self.tilt_values.items()}
        return replace(self, tilts=tilts, tilt_values=values)


def take(values: Any, rows: Sequence[int]) -> Any:
    """Some entries of an array or a tuple with one per tilt image; of None, None."""
    if values is None or not isinstance(values, tuple):
        return None if values is None else values[rows]
    return tuple(values[i] for i in rows)


class InFile:
    """A set that knows the file it is in: the one that was read, not what is made of it."""

    _path: str | None = None

    @property
    def path(self) -> str | None:
        """The file that it was read from; None if it was made, or made of one that was read."""
        return self._path

    def in_file(self, path: str | None) -> Self:
        """The same set, which is known to be in this file."""
        object.__setattr__(self, "_path", path)
        return self

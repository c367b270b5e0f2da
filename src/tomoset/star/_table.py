"""What a STAR file is: tables of text, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FileFormatError, MissingFieldError, ModelError, some_of
from . import _numbers
from ._packed import PackedColumn

_Array = TypeVar("_Array")


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """One block of a STAR file: columns of text. Not to be changed; make a new one.

    Parameters
    ----------
    name : str
        What follows ``data_``.
    columns : mapping of str to sequence of str
        Label, without the leading underscore, to its values, in order.
    is_loop : bool
        Whether it is a ``loop_`` (any number of rows) or a list of labels with one value each.
    comments : tuple of str
        The comment lines that belong to it, each with its ``#``.
    path : str, optional
        The file it came from.
    lines : sequence of int, optional
        Where in the file: the line of every row of a loop, or of every label of a list.

    Examples
    --------
    >>> table = Table("global", {"rlnTomoName": ["TS_01", "TS_02"], "rlnTomoSizeX": ["40", "41"]})
    >>> len(table), table.labels, table["rlnTomoName"][1]
    (2, ('rlnTomoName', 'rlnTomoSizeX'), 'TS_02')
    >>> table.ints("rlnTomoSizeX")
    array([40, 41])
    >>> table.ints("rlnTomoName")
    Traceback (most recent call last):
    tomoset.errors.FileFormatError: data_global, _rlnTomoName: expected an integer, found 'TS_01'
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    is_loop: bool = True
    comments: tuple[str, ...] = ()
    path: str | None = None
    lines: Sequence[int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", dict(self.columns))
        lengths = {label: len(values) for label, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ModelError(f"data_{self.name}: columns of different lengths: {lengths}")
        if not self.is_loop and len(self) > 1:
            raise ModelError(f"data_{self.name}: a list has one value for each label, not more")

    def __repr__(self) -> str:
        kind = f"{len(self)} rows" if self.is_loop else "list"
        return f"<Table data_{self.name}: {kind}, {', '.join(self.labels) or 'no labels'}>"

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, label: object) -> bool:
        return label in self.columns

    def __getitem__(self, label: str) -> Sequence[str]:
        try:
            return self.columns[label]
        except KeyError:
            there = some_of([f"_{name}" for name in self.labels], 20) or "no labels"
            raise MissingFieldError(
                f"data_{self.name} has no _{label}; it has {there}", path=self.path
            ) from None

    def get(self, label: str) -> Sequence[str] | None:
        """Give a column, or None where there is none."""
        return self.columns.get(label)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order, without the leading underscore."""
        return tuple(self.columns)

    def line_of(self, row: int) -> int | None:
        """Give the line of the file, from 1, that a row came from; None where none is known."""
        if not self.lines:
            return None
        return self.lines[row] if self.is_loop else self.lines[0]

    def error(
        self, message: str, row: int | None = None, label: str | None = None
    ) -> FileFormatError:
        """Make the error, to be raised, that says where in the file something is wrong."""
        line = self.line_of(row) if row is not None else None
        if not self.is_loop and label in self.columns and self.lines:
            position = self.labels.index(label)
            line = self.lines[position] if position < len(self.lines) else None
        where = f"data_{self.name}" if label is None else f"data_{self.name}, _{label}"
        path = "<text>" if self.path is None and line is not None else self.path
        return FileFormatError(f"{where}: {message}", path=path, line=line)

    def floats(self, label: str) -> NDArray[np.float64]:
        """Give a column as numbers, exactly as ``float(text)`` reads each.

        Raises
        ------
        MissingFieldError
            There is no such column.
        FileFormatError
            A value is no number; `nan` and `inf` are numbers, ``1_2`` and hex are not.
        """
        return self._read(label, PackedColumn.to_floats, _numbers.to_floats)

    def ints(self, label: str) -> NDArray[np.int64]:
        """Give a column as integers; ``12`` and ``12.000`` are, ``12.5`` is an error."""
        return self._read(label, PackedColumn.to_ints, _numbers.to_ints)

    def vectors(self, label: str, length: int | None = None) -> NDArray[np.float64]:
        """Give a column of ``[a,b,c]`` as an array, one row each.

        Parameters
        ----------
        label : str
            The column.
        length : int, optional
            How many numbers each must have; without it, as many as the first has.

        Examples
        --------
        >>> Table("x", {"p": ["[1,0,0.5]", "[0, 1, 2]"]}).vectors("p", 3)
        array([[1. , 0. , 0.5],
               [0. , 1. , 2. ]])
        """

        def read(values: Sequence[str]) -> NDArray[np.float64]:
            return _numbers.to_vectors(tuple(values), length)

        return self._read(label, read, read)

    def _read(
        self,
        label: str,
        packed: Callable[[PackedColumn], _Array],
        plain: Callable[[Sequence[str]], _Array],
    ) -> _Array:
        values = self[label]
        try:
            return packed(values) if isinstance(values, PackedColumn) else plain(values)
        except _numbers.CellError as bad:
            message = f"expected {bad.expected}, found {values[bad.row]!r}"
            raise self.error(message, bad.row, label) from None

    def with_columns(self, columns: Mapping[str, Sequence[str]]) -> Table:
        """Make a table with some columns replaced in place, or added at the end.

        Examples
        --------
        >>> Table("x", {"a": ["1"]}).with_columns({"b": ["2"]}).labels
        ('a', 'b')
        """
        return replace(self, columns={**self.columns, **columns})

    def take(self, rows: ArrayLike) -> Table:
        """Make a table of some rows, in the order given; by number or by a mask.

        Examples
        --------
        >>> list(Table("x", {"a": ["p", "q", "r"]}).take([2, 0])["a"])
        ['r', 'p']
        """
        index = np.asarray(rows)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise ModelError(f"a mask of {index.shape} does not fit {len(self)} rows")
            index = np.flatnonzero(index)
        index = index.astype(np.intp)
        lines = self.lines
        if lines is not None and self.is_loop:
            lines = _take(lines, index)
        columns = {label: _take(values, index) for label, values in self.columns.items()}
        return replace(self, columns=columns, is_loop=self.is_loop or len(index) != 1, lines=lines)


_Item = TypeVar("_Item")


def _take(values: Sequence[_Item], index: NDArray[np.intp]) -> Sequence[_Item]:
    take = getattr(values, "take", None)  # columns and lines of a big table stay views
    if take is not None:
        picked: Sequence[_Item] = take(index)
        return picked
    return tuple([values[i] for i in index.tolist()])


@dataclass(frozen=True, eq=False)
class StarFile:
    """The tables of one file, in order.

    Parameters
    ----------
    tables : tuple of Table
        In the order of the file; names may occur twice.
    comments : tuple of str
        The comment lines after the last table.
    path : str, optional
        The file they came from.

    Examples
    --------
    >>> file = StarFile((Table("optics", {"rlnVoltage": ["300"]}), Table("particles", {})))
    >>> file.names, "optics" in file, file["optics"]["rlnVoltage"]
    (('optics', 'particles'), True, ['300'])
    """

    tables: tuple[Table, ...]
    comments: tuple[str, ...] = ()
    path: str | None = None
    _by_name: dict[str, Table] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The first of a name is the one that is meant, as RELION takes it.
        by_name = {table.name: table for table in reversed(self.tables)}
        object.__setattr__(self, "_by_name", by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables, in order."""
        return tuple(table.name for table in self.tables)

    @property
    def first(self) -> Table:
        """The first table."""
        if not self.tables:
            raise MissingFieldError("there is no table", path=self.path)
        return self.tables[0]

    def __len__(self) -> int:
        """Give the number of tables."""
        return len(self.tables)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Table:
        if name in self._by_name:
            return self._by_name[name]
        there = some_of([f"data_{other}" for other in self.names], 8) or "no table"
        raise MissingFieldError(f"there is no data_{name}; the file has {there}", path=self.path)

"""Big tables: the file stays the bytes it is, a column is where each of its values begins."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from . import _numbers
from ._cursor import Cursor, Rows
from ._tokens import BLANKS

_VALUE = re.compile(rb"[^ \t\r\n]+")
_CHUNK = 1 << 16  # rows turned into text at a time
_ROWS_PER_THREAD = 1 << 17
_MOST_PARTS = 1000
_WINDOW = 1 << 26  # bytes read into one piece of offsets

Offsets = NDArray[Any]  # uint32, or uint64 where the file has 4 GiB or more


class NotPlainError(Exception):
    """Quotes, comments or blanks inside a value: the plain reader has to do it."""


class PackedColumn(Sequence[str]):
    """A column of a big table: a sequence of text that is decoded when it is looked at.

    It keeps the bytes of the whole file; copy what is to outlive the file with ``list``.
    """

    def __init__(self, data: bytes, starts: Offsets) -> None:
        self._data = data
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> PackedColumn: ...
    def __getitem__(self, index: int | slice) -> str | PackedColumn:
        if isinstance(index, slice):
            return PackedColumn(self._data, self._starts[index])
        value = next(_VALUE.finditer(self._data, int(self._starts[index])))
        return value[0].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), _CHUNK):
            yield from self[begin : begin + _CHUNK]._texts()

    def _texts(self) -> list[str]:
        from ._kernels import gather

        data = np.frombuffer(self._data, np.uint8)
        size = gather(data, self._starts, np.empty(0, np.uint8))
        text = np.empty(size, np.uint8)
        gather(data, self._starts, text)
        return text[:-1].tobytes().decode("utf-8", "surrogateescape").split("\n")

    def take(self, index: NDArray[np.intp]) -> PackedColumn:
        """Give the values at some rows."""
        return PackedColumn(self._data, self._starts[index])

    def to_floats(self) -> NDArray[np.float64]:
        """Do :func:`_numbers.to_floats`, from the bytes."""
        from ._kernels import parse_floats

        return self._parsed(parse_floats, np.empty(len(self)), _numbers.to_floats)

    def to_ints(self) -> NDArray[np.int64]:
        """Do :func:`_numbers.to_ints`, from the bytes."""
        from ._kernels import parse_ints

        return self._parsed(parse_ints, np.empty(len(self), np.int64), _numbers.to_ints)

    def _parsed(
        self,
        kernel: Callable[..., Any],
        out: NDArray[Any],
        slowly: Callable[[Sequence[str]], NDArray[Any]],
    ) -> NDArray[Any]:
        data = np.frombuffer(self._data, np.uint8)
        left = np.zeros(len(self), np.bool_)

        def work(part: slice) -> None:
            kernel(data, self._starts[part], out[part], left[part])

        _in_threads(work, len(self))
        rows = np.flatnonzero(left)
        if len(rows):
            try:
                out[rows] = slowly(list(self.take(rows)))
            except _numbers.CellError as bad:
                raise _numbers.CellError(int(rows[bad.row]), bad.expected) from None
        return out


def _in_threads(work: Callable[[slice], None], rows: int) -> None:
    # Threads of our own, not numba's: those do not survive a fork, nor two callers at once.
    threads = min(os.cpu_count() or 1, 1 + rows // _ROWS_PER_THREAD)
    edges = [rows * i // threads for i in range(threads + 1)]
    parts = [slice(*pair) for pair in itertools.pairwise(edges)]
    if threads == 1:
        work(parts[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))


class PackedLines(Sequence[int]):
    """The line of every row, counted when asked: only errors ask."""

    def __init__(self, data: bytes, starts: Offsets) -> None:
        self._data = data
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> PackedLines: ...
    def __getitem__(self, index: int | slice) -> int | PackedLines:
        if isinstance(index, slice):
            return PackedLines(self._data, self._starts[index])
        return 1 + self._data.count(b"\n", 0, int(self._starts[index]))

    def take(self, index: NDArray[np.intp]) -> PackedLines:
        """Give the lines of some rows."""
        return PackedLines(self._data, self._starts[index])


class ByteCursor(Cursor):
    """A cursor over the bytes of a big file; the rows of its loops stay there."""

    def __init__(self, data: bytes, start: int, path: str | None) -> None:
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            raise NotPlainError("a lone CR ends a line")
        self.path = path
        self._data = data
        self._position = start
        self._line = 1

    @property
    def line(self) -> int:
        return self._line

    def peek(self) -> str | None:
        if self._position > len(self._data):
            return None
        line = self._data[self._position : self._end_of_line()]
        return line.decode("utf-8", "surrogateescape").rstrip("\r").strip(BLANKS)

    def advance(self) -> None:
        self._position = self._end_of_line() + 1
        self._line += 1

    def mark(self) -> tuple[int, int]:
        return self._position, self._line

    def back_to(self, mark: tuple[int, int]) -> None:
        self._position, self._line = mark

    def _end_of_line(self) -> int:
        end = self._data.find(b"\n", self._position)
        return len(self._data) if end < 0 else end

    def rows(self, width: int) -> Rows:
        from . import _kernels

        data = np.frombuffer(self._data, np.uint8)
        parts: list[Offsets] = []
        comments: list[str] = []
        pending: list[str] = []
        free = self._room(width)
        sure = False
        while True:
            status, position, count, lines, found = _kernels.scan_rows(
                data, self._position, free, sure
            )
            self._position, self._line = position, self._line + lines
            sure = False
            if count:
                comments += pending
                pending = []
                parts.append(free[:count])
                free = free[count:]
            if status == _kernels.NOT_PLAIN or len(parts) > _MOST_PARTS:
                raise NotPlainError
            if status == _kernels.END:
                break
            if status == _kernels.FULL:
                free = self._room(width)
                continue
            line = self.peek() or ""
            if status == _kernels.WRONG_WIDTH:
                if "[" in line:
                    raise NotPlainError("perhaps a vector with blanks")
                raise self.row_error(width, found)
            if line[0] == "#":
                pending.append(line)
                self.advance()
            elif self.at_table(width):
                break
            else:
                sure = True
        return self._rows(parts, width, comments, pending)

    def _rows(
        self, parts: list[Offsets], width: int, comments: list[str], after: list[str]
    ) -> Rows:
        if not parts:
            return Rows([()] * width, (), comments, after)
        offsets = np.concatenate(parts)
        columns: list[Sequence[str]] = [
            PackedColumn(self._data, offsets[:, i]) for i in range(width)
        ]
        return Rows(columns, PackedLines(self._data, offsets[:, 0]), comments, after)

    def _room(self, width: int) -> Offsets:
        # What cannot be rows is never written to, and memory that is not costs nothing.
        kind = np.uint32 if len(self._data) < 2**32 else np.uint64
        most = min(len(self._data) - self._position, _WINDOW) // (2 * width) + 1
        return np.empty((most, width), kind)

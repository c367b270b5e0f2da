"""A place in a STAR file, line by line, and the rows of a loop from there on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import FileFormatError
from ._tokens import BLANKS, has_odd_blanks, is_data, is_loop, needs_care, split_line


class Rows(NamedTuple):
    """The rows of a loop."""

    columns: list[Sequence[str]]
    lines: Sequence[int]
    comments: list[str]  # between the rows and after values
    after: list[str]  # after the last row: they belong to what follows


class Cursor(ABC):
    """Where the reader is. Two kinds: one over lines of text, one over the bytes of a big file."""

    path: str | None

    @property
    @abstractmethod
    def line(self) -> int:
        """The number of this line, from 1."""

    @abstractmethod
    def peek(self) -> str | None:
        """Give this line without the blanks around it; None after the last."""

    @abstractmethod
    def advance(self) -> None:
        """Go to the next line."""

    @abstractmethod
    def mark(self) -> tuple[int, int]:
        """Give what :meth:`back_to` takes to come back here."""

    @abstractmethod
    def back_to(self, mark: tuple[int, int]) -> None:
        """Go back to a mark."""

    @abstractmethod
    def rows(self, width: int) -> Rows:
        """Take the rows of a loop with `width` labels, from this line to the next table."""

    def error(self, message: str) -> FileFormatError:
        """Make the error that says what is wrong with this line."""
        return FileFormatError(message, path=self.path or "<text>", line=self.line)

    def row_error(self, width: int, found: int) -> FileFormatError:
        """Make the error for a row with too many or too few values."""
        line = self.peek() or ""
        message = f"expected {width} values, one for each label, found {found}"
        if any(value[:1] in ("'", '"') for value in line.split()):
            message += "; is a quote left open, or a value with blanks not in quotes?"
        return self.error(message)

    def next_content(self) -> str | None:
        """Go to the next line that is neither blank nor a comment, and give it."""
        while (line := self.peek()) is not None and (not line or line[0] in "#;"):
            self.advance()
        return line

    def at_table(self, width: int) -> bool:
        """Whether this line, among rows of `width` values, ends them.

        A row may begin with the text ``data_`` or ``loop_``. What follows decides: a head is
        followed by ``loop_`` or a label, or else it must not look like a row.
        """
        line = self.peek()
        if line is None or not (is_data(line) or is_loop(line)):
            return False
        mark = self.mark()
        self.advance()
        following = self.next_content()
        self.back_to(mark)
        if following is None or is_data(following):
            return len(split_line(line, width)[0]) != width
        if is_loop(following):
            return is_data(line)
        return following[0] == "_" and len(split_line(following, 2)[0]) <= 2


class TextCursor(Cursor):
    """A cursor over text: plain Python, and the reference for the fast one."""

    def __init__(self, text: str, path: str | None) -> None:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.path = path
        self._odd = has_odd_blanks(text)
        self._lines = text.split("\n")
        self._index = 0

    @property
    def line(self) -> int:
        return self._index + 1

    def peek(self) -> str | None:
        if self._index >= len(self._lines):
            return None
        return self._lines[self._index].strip(BLANKS)

    def advance(self) -> None:
        self._index += 1

    def mark(self) -> tuple[int, int]:
        return self._index, 0

    def back_to(self, mark: tuple[int, int]) -> None:
        self._index = mark[0]

    def rows(self, width: int) -> Rows:
        rows: list[list[str]] = []
        lines: list[int] = []
        comments: list[str] = []
        pending: list[str] = []
        for index in range(self._index, len(self._lines)):
            line = self._lines[index]
            values, comment = line.split(), None
            if self._odd or needs_care(line) or len(values) != width:
                values, comment = split_line(line, width)
            if values:
                if values[0][:1] in "dDlL":
                    self._index = index
                    if self.at_table(width):
                        break
                if len(values) != width:
                    self._index = index
                    raise self.row_error(width, len(values))
                if pending:
                    comments += pending
                    pending = []
                rows.append(values)
                lines.append(index + 1)
            if comment is not None:
                (comments if values else pending).append(comment)
        else:
            self._index = len(self._lines)
        columns: list[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * width
        return Rows(columns, _as_range(lines), comments, pending)


def _as_range(lines: list[int]) -> Sequence[int]:
    if lines and lines[-1] - lines[0] == len(lines) - 1:
        return range(lines[0], lines[-1] + 1)
    return lines

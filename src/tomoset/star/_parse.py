"""The reader: STAR text -> tables. Liberal in layout, strict where a value could be lost."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence

from ..errors import FileFormatError, MissingFileError
from ..files import read_bytes
from ._cursor import Cursor, TextCursor
from ._packed import ByteCursor, NotPlainError
from ._table import StarFile, Table
from ._tokens import BLANKS, is_data, is_loop, split_label, split_line

# From which size on one table is left in the bytes it came in: about 100,000 particles. Below,
# plain Python is as quick as loading the compiled reader.
_PACK_FROM_BYTES = 16 << 20

_UTF8_BOM = b"\xef\xbb\xbf"


def read(path: str | os.PathLike[str]) -> StarFile:
    """Read a STAR file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    StarFile
        Its tables and comments. Every value is the text it was.

    Raises
    ------
    MissingFileError
        There is no such file.
    FileFormatError
        It is not a STAR file, or a row has too few or too many values.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "optics.star"
    >>> _ = path.write_text("data_optics\\n_rlnVoltage 300.0\\n")
    >>> read(path)["optics"]["rlnVoltage"][0]
    '300.0'
    """
    name = os.fspath(path)
    try:
        data = read_bytes(name)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such file; expected a STAR file") from None
    return loads(data, name)


def loads(text: str | bytes, path: str | None = None) -> StarFile:
    """Read STAR text.

    Parameters
    ----------
    text : str or bytes
        The content of a STAR file.
    path : str, optional
        What errors call it.

    Examples
    --------
    >>> loads("data_optics\\n_rlnVoltage 300\\n")["optics"]
    <Table data_optics: list, rlnVoltage>
    >>> loads("data_optics\\nloop_\\n_rlnVoltage\\n_rlnOpticsGroup\\n300\\n")
    Traceback (most recent call last):
    tomoset.errors.FileFormatError: <text>:5: expected 2 values, one for each label, found 1
    """
    if isinstance(text, bytes):
        return _load_bytes(text, path, _PACK_FROM_BYTES)
    if "\0" in text:
        raise FileFormatError("a STAR file is text; found zero bytes", path=path)
    return _parse(TextCursor(text.removeprefix("\ufeff"), path))


def _load_bytes(data: bytes, path: str | None, pack_from: int) -> StarFile:
    if b"\0" in data:
        found = "zero bytes: a binary file, or UTF-16"
        if data[208:212] == b"MAP ":
            found = "what looks like an MRC image file"
        raise FileFormatError(f"expected a STAR file, which is text; found {found}", path=path)
    start = len(_UTF8_BOM) if data.startswith(_UTF8_BOM) else 0
    if _has_big_table(data, pack_from):
        try:
            return _parse(ByteCursor(data, start, path))
        except NotPlainError:
            pass
    return _parse(TextCursor(data[start:].decode("utf-8", "surrogateescape"), path))


def _has_big_table(data: bytes, size: int) -> bool:
    start = 0
    while len(data) - start >= size:
        start = data.find(b"\ndata_", start + 1, start + size)
        if start < 0:
            return True
    return False


def _parse(cursor: Cursor) -> StarFile:
    parser = _Parser(cursor)
    while (line := parser.next_content()) is not None:
        if not is_data(line):
            raise cursor.error(f"expected data_ to begin a table, found {_shorten(line)!r}")
        parser.block(line)
    if not parser.tables:
        raise FileFormatError("expected a STAR file, found no data_ in it", path=cursor.path)
    return StarFile(tuple(parser.tables), tuple(parser.comments), cursor.path)


class _Parser:
    """Tables so far, and the comments that belong to the next thing that comes."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.tables: list[Table] = []
        self.comments: list[str] = []

    def next_content(self) -> str | None:
        """Go to the next line that is neither blank nor a comment; keep the comments."""
        while (line := self.cursor.peek()) is not None:
            if line and line[0] not in "#;":
                return line
            if line:  # RELION takes a line that begins with ; for a comment too
                self.comments.append(line if line[0] == "#" else "# " + line)
            self.cursor.advance()
        return None

    def take_comments(self) -> list[str]:
        comments, self.comments = self.comments, []
        return comments

    def block(self, head: str) -> None:
        """Read from ``data_name`` up to the next: a list, loops, both or nothing."""
        name = head[5:].strip(BLANKS)
        own = self.take_comments()
        before = len(self.tables)
        self.cursor.advance()
        while (line := self.next_content()) is not None and not is_data(line):
            if is_loop(line):
                self.tables.append(self.read_loop(name, own + self.take_comments()))
            elif line[0] == "_":
                self.tables.append(self.read_list(name, own + self.take_comments()))
            else:
                raise self.cursor.error(
                    f"expected _label, loop_ or data_ after data_{name}, found {_shorten(line)!r}"
                )
            own = []
        if len(self.tables) == before:
            self.tables.append(Table(name, {}, False, tuple(own), self.cursor.path))

    def read_loop(self, name: str, comments: list[str]) -> Table:
        cursor = self.cursor
        self.keep_comment(split_line(cursor.peek() or "")[1])
        cursor.advance()
        labels: dict[str, None] = {}
        while (line := self.next_content()) is not None:
            found = split_label(line)
            if found is None:
                break
            self.check_new(found[0], labels, name)
            labels[found[0]] = None
            self.keep_comment(found[1])
            comments += self.take_comments()
            cursor.advance()
        if not labels:
            raise cursor.error(f"expected _label after loop_ of data_{name}, found none")
        rows = cursor.rows(len(labels))
        if len(rows.lines):
            comments += self.take_comments() + rows.comments
        self.comments += rows.after
        columns = dict(zip(labels, rows.columns, strict=True))
        return Table(name, columns, True, tuple(comments), cursor.path, lines=rows.lines)

    def read_list(self, name: str, comments: list[str]) -> Table:
        cursor = self.cursor
        columns: dict[str, Sequence[str]] = {}
        lines = []
        while (line := self.next_content()) is not None and line[0] == "_":
            (first, *values), comment = split_line(line, 2)
            label = first[1:].partition("#")[0]
            self.check_new(label, columns, name)
            if len(values) > 1:
                raise cursor.error(
                    f"expected one value for _{label} of data_{name}, found {len(values)}; "
                    "a value with blanks needs quotes"
                )
            self.keep_comment(comment)
            comments += self.take_comments()
            columns[label] = tuple(values) or ("",)
            lines.append(cursor.line)
            cursor.advance()
        return Table(name, columns, False, tuple(comments), cursor.path, lines=lines)

    def keep_comment(self, comment: str | None) -> None:
        if comment is not None:
            self.comments.append(comment)

    def check_new(self, label: str, labels: Container[str], name: str) -> None:
        if label in labels:
            raise self.cursor.error(f"data_{name} has two columns of the name _{label}")


def _shorten(line: str) -> str:
    return line if len(line) <= 60 else line[:57] + "..."

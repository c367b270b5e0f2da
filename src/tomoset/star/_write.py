"""The writer: tables -> STAR text, laid out as RELION 4 and 5 lay it out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import FileFormatError
from ..files import atomic_write, refuse_unless_star
from ._table import StarFile, Table
from ._tokens import BLANKS, is_label_name, is_one_line, quote_all

_ROWS_AT_A_TIME = 1 << 15

# RELION right-aligns text to 10 columns and numbers to 12.
_TEXT_WIDTH, _NUMBER_WIDTH = 10, 12
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def write(tables: StarFile | Iterable[Table], path: str | os.PathLike[str]) -> None:
    """Write tables to a file; it is whole or, on any error, what it was before.

    Parameters
    ----------
    tables : StarFile or iterable of Table
        What to write, in order.
    path : path-like
        Where. Missing folders are made.

    Raises
    ------
    FileFormatError
        A value, a label, a name or a comment cannot be said in STAR.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "optics.star"
    >>> write([Table("optics", {"rlnVoltage": ["300.0"]})], path)
    >>> path.read_text().split()[:2]
    ['data_optics', 'loop_']
    """
    refuse_unless_star(path)
    with atomic_write(path) as stream:
        for piece in encode(tables, path):
            stream.write(piece)


def encode(
    tables: StarFile | Iterable[Table], path: str | os.PathLike[str] | None = None
) -> Iterator[bytes]:
    """Give tables as the bytes of a STAR file, piece by piece; errors are of the file `path`."""
    for piece in _pieces(tables):
        try:
            yield piece.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as bad:
            broken = bad.object[bad.start : bad.end]
            raise FileFormatError(
                f"cannot write {broken!r}: half of a character", path=path
            ) from None


def dumps(tables: StarFile | Iterable[Table]) -> str:
    """Give tables as STAR text.

    A table without labels becomes a comment: RELION would take the next table for its content.
    A loop without rows is written as it is, but RELION cannot read a table that follows it.

    Parameters
    ----------
    tables : StarFile or iterable of Table
        What to write, in order.

    Examples
    --------
    >>> table = Table("optics", {"rlnVoltage": ["300"]}, False, comments=("# version 30001",))
    >>> print(dumps([table]).strip())
    # version 30001
    <BLANKLINE>
    data_optics
    <BLANKLINE>
    _rlnVoltage                     300
    """
    return "".join(_pieces(tables))


def _pieces(tables: StarFile | Iterable[Table]) -> Iterator[str]:
    comments: list[str] = []
    for table in tables:
        comments += table.comments
        if not table.columns:
            comments.append(f"# empty table: {table.name}".rstrip(BLANKS))
            continue
        _check(table, comments)
        yield from _loop(table, comments) if table.is_loop else _list(table, comments)
        comments = []
    if isinstance(tables, StarFile):
        comments += tables.comments
    if comments:
        yield "\n" + "".join(comment + "\n" for comment in comments)


def _check(table: Table, comments: list[str]) -> None:
    if not is_one_line(table.name) or table.name != table.name.strip(BLANKS):
        raise table.error("a table name is one line, without blanks around it")
    for label in table.labels:
        if not is_label_name(label):
            raise table.error(f"{label!r} cannot be a label: blanks and # end one")
    for comment in comments:
        if comment[:1] != "#" or not is_one_line(comment):
            raise table.error(f"a comment is one line that begins with #, found {comment!r}")


def _split_comments(comments: list[str]) -> tuple[str, str, str]:
    # RELION takes any line with data_ in it for the head of a table, and then any line with
    # loop_ for the head of a loop. So a comment that has one stands after the real one.
    data = next((i for i, text in enumerate(comments) if "data_" in text), len(comments))
    loop = next(
        (i for i, text in enumerate(comments) if i >= data and "loop_" in text), len(comments)
    )
    above, inside, below = (
        "".join(comment + "\n" for comment in part)
        for part in (comments[:data], comments[data:loop], comments[loop:])
    )
    return above, inside, below


def _loop(table: Table, comments: list[str]) -> Iterator[str]:
    above, inside, below = _split_comments(comments)
    labels = "".join(f"_{label} #{i} \n" for i, label in enumerate(table.labels, 1))
    yield f"\n{above}\ndata_{table.name}\n{inside}\nloop_ \n{below}{labels}"
    widths = [_width(values) for values in table.columns.values()]
    template = "".join(f"%{width}s " for width in widths) + "\n"
    for begin in range(0, len(table), _ROWS_AT_A_TIME):
        part = slice(begin, begin + _ROWS_AT_A_TIME)
        columns = [_quoted(table, label, values[part]) for label, values in table.columns.items()]
        yield "".join(map(template.__mod__, zip(*columns, strict=True)))
    yield " \n"


def _list(table: Table, comments: list[str]) -> Iterator[str]:
    above, inside, below = _split_comments(comments)
    widest = max(10, *(len(label) for label in table.labels))
    lines = []
    for label, values in table.columns.items():
        (value,) = _quoted(table, label, values)
        blanks = " " * (12 + widest - len(label))
        if _width(values) == _NUMBER_WIDTH:
            value = value.rjust(_NUMBER_WIDTH)
        lines.append(f"_{label}{blanks}{value}\n")
    if len(lines) == 1:  # after the only label it would belong to the next table
        inside += below
    else:
        lines[0] += below
    yield f"\n{above}\ndata_{table.name}\n{inside}\n{''.join(lines)} \n"


def _width(values: Sequence[str]) -> int:
    return _NUMBER_WIDTH if values and _NUMBER.match(values[0]) else _TEXT_WIDTH


def _quoted(table: Table, label: str, values: Sequence[str]) -> list[str]:
    try:
        return quote_all(list(values))
    except ValueError as bad:
        raise table.error(str(bad), label=label) from None

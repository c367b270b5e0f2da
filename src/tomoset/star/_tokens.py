"""One line of a STAR file: how values stand on it, for the reader and for the writer."""

from __future__ import annotations

import re

BLANKS = " \t"

# What str.split() takes for a blank and a STAR file does not: a name may hold a no-break space.
_ODD_BLANKS = (
    "\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

_VALUE = r"""
    (?P<comment>\#.*)
  | (?P<plain>[^ \t]+)
"""
_TOKEN = re.compile(_VALUE, re.VERBOSE | re.DOTALL)
_TOKEN_OR_VECTOR = re.compile(
    rf"""(?P<vector>\[[^\[\]"'#]*\](?=[ \t]|\Z)) | {_VALUE}""", re.VERBOSE | re.DOTALL
)
# A quote closes before a blank or the end of the line only, so 5' and O'Brien are plain. A quote
# that never closes is part of a plain value.
_CLOSING = {mark: re.compile(rf"{mark}(?=[ \t]|\Z)") for mark in ('"', "'")}
_VALUE_START = re.compile(r"[^ \t]")

_LABEL = re.compile(r"_([^ \t#]+)[ \t]*(#.*)?\Z", re.DOTALL)
_LABEL_NUMBER = re.compile(r"#[ \t]*[0-9]*\Z")

_KEYWORDS = ("data_", "loop_", "save_", "stop_", "global_")
# RELION quotes blanks and leading quotes only. The rest would be taken for a label, a comment,
# a keyword or a text field, by RELION in the first column or by CIF readers anywhere.
_NEEDS_QUOTES = re.compile(
    rf"""\Z|[_#$;"']|(?:{"|".join(_KEYWORDS)})|.*[ \t\r\n\0]""", re.I | re.DOTALL
)
_UNWRITABLE = re.compile(r"[\r\n\0]")


def has_odd_blanks(text: str) -> bool:
    """Whether ``str.split()`` would cut `text` where a STAR file has no blank."""
    candidates = _ODD_BLANKS[:6] if text.isascii() else _ODD_BLANKS
    return any(blank in text for blank in candidates)


def needs_care(line: str) -> bool:
    """Whether ``line.split()`` may not be the values of `line`."""
    return "#" in line or '"' in line or "'" in line


def split_line(line: str, width: int | None = None) -> tuple[list[str], str | None]:
    """Give the values on a line and the comment that ends it.

    Where that does not make `width` values, vectors with blanks inside are taken as one each.

    Examples
    --------
    >>> split_line("TS#1 'a b' O'Brien # good")
    (['TS#1', 'a b', "O'Brien"], '# good')
    >>> split_line("[0, 0, 1] 5", width=2)
    (['[0, 0, 1]', '5'], None)
    """
    values, comment = _split(_TOKEN, line)
    if width is not None and len(values) != width and "[" in line:
        joined, comment = _split(_TOKEN_OR_VECTOR, line)
        if len(joined) == width:
            return joined, comment
    return values, comment


def _split(token: re.Pattern[str], line: str) -> tuple[list[str], str | None]:
    values: list[str] = []
    closing = dict(_CLOSING)
    at = 0
    while start := _VALUE_START.search(line, at):
        at, mark = start.start(), start[0]
        if mark in closing:
            if end := closing[mark].search(line, at + 1):
                values.append(line[at + 1 : end.start()])
                at = end.end()
                continue
            del closing[mark]  # nor does a later one close: the rest is looked through once
        match = token.match(line, at)
        assert match is not None
        if match.lastgroup == "comment":
            return values, match[0].rstrip(BLANKS)
        values.append(match[0])
        at = match.end()
    return values, None


def split_label(line: str) -> tuple[str, str | None] | None:
    """Give the label on a line of a loop's head, and a comment after it; None if it is no label.

    Examples
    --------
    >>> split_label("_rlnTomoName #1"), split_label("_rlnTomoHand#2"), split_label("_a 1 2")
    (('rlnTomoName', None), ('rlnTomoHand', None), None)
    """
    match = _LABEL.match(line)
    if match is None:
        return None
    comment = match[2]
    return match[1], None if comment is None or _LABEL_NUMBER.match(comment) else comment


def is_data(line: str) -> bool:
    """Whether a line, stripped, begins like the head of a block."""
    return line[:5].lower() == "data_"


def is_loop(line: str) -> bool:
    """Whether a line, stripped, is the word ``loop_``, with at most a comment."""
    return line[:5].lower() == "loop_" and (len(line) == 5 or split_line(line[5:])[0] == [])


def is_label_name(label: str) -> bool:
    """Whether a label can be written and read back."""
    match = _LABEL.match("_" + label)
    return match is not None and match[1] == label and not _UNWRITABLE.search(label)


def is_one_line(text: str) -> bool:
    """Whether a text can stand on one line of a file."""
    return not _UNWRITABLE.search(text)


def quote(value: str) -> str:
    """Give a value as it stands in a file: itself, or in quotes where it must be.

    Raises
    ------
    ValueError
        No quotes can carry it.

    Examples
    --------
    >>> print(quote("TS_01"), quote("TS 1"), quote(""), quote('6" x'), quote("data_set/1.mrc"))
    TS_01 "TS 1" "" '6" x' "data_set/1.mrc"
    """
    if not _NEEDS_QUOTES.match(value):
        return value
    if _UNWRITABLE.search(value):
        raise ValueError(f"{value!r} has a line break or a zero byte, which STAR cannot hold")
    # A mark that the value does not contain is the safest; one that never stands before a blank
    # inside the value will do.
    for mark in ('"', "'"):
        if mark not in value:
            return mark + value + mark
    for mark in ('"', "'"):
        if mark + " " not in value and mark + "\t" not in value:
            return mark + value + mark
    raise ValueError(f"{value!r} has both kinds of quotes before blanks, which STAR cannot hold")


def quote_all(values: list[str]) -> list[str]:
    """Do :func:`quote` for a column; fast where, as nearly always, nothing needs quotes."""
    return values if _all_plain(values) else [quote(value) for value in values]


def _all_plain(values: list[str]) -> bool:
    # Questions to one long text, each a pass in C. Most columns, of numbers, pass the first.
    text = "".join(values)
    if not all(values) or any(mark in text for mark in " \t\r\n\0\"'"):
        return False
    if not any(mark in text for mark in "_#$;"):
        return True
    starts = "\n" + "\n".join(values).lower()
    return not any("\n" + mark in starts for mark in ("_", "#", "$", ";", *_KEYWORDS))

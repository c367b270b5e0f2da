"""What can go wrong, as one tree: ``except TomosetError`` catches us, and nothing else.

::

    TomosetError
    ├── FileFormatError(ValueError)          a file is not what its format promises: .path .line
    │   ├── UnknownFormatError               no format, or several, recognise it
    │   └── MissingFieldError(LookupError)   a column, key or table that is needed is absent
    ├── MissingFileError(FileNotFoundError)  a file that another one names is not there
    ├── FileAccessError(OSError)             a file cannot be read, or must not be replaced
    ├── ModelError(ValueError)               shapes or values contradict each other
    │   └── ImpossibleValueError             a number that cannot be: .field .row
    ├── AmbiguityError(ValueError)           two choices fit; the message names the option
    └── UnsupportedError(ValueError)         the target cannot say this

    TomosetWarning(UserWarning)
    ├── AssumptionWarning                    what was assumed, and from what
    └── LossyWarning                         what was dropped, or could not be carried
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar


def some_of(names: Sequence[str], most: int = 5) -> str:
    """A few of many names, for a message.

    Examples
    --------
    >>> some_of(["TS_01", "TS_02", "TS_03"], 2)
    'TS_01, TS_02 and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


#: How people are told: the command line puts its options in the place of parameters, which texts
#: name in brackets and backticks.
spelling: ContextVar[Callable[[str], str]] = ContextVar("spelling", default=str)
#: What the user typed, for the history of what was done.
typed: ContextVar[tuple[str, ...]] = ContextVar("typed", default=("Python",))


def said_of(name: str, message: str) -> str:
    """A message, to follow the name of what it is about: without that name at its beginning.

    Examples
    --------
    >>> said_of("TS_01", "tomogram 'TS_01': no defocus"), said_of("a/TS", "a/TS: not there")
    ('no defocus', 'not there')
    """
    for start in (f"tomogram {name!r}: ", f"{name}: "):
        if message.startswith(start):
            return message[len(start) :]
    return message


def printable(text: str) -> str:
    r"""Text as it may go to a terminal: on one line, control characters of names as escapes.

    Examples
    --------
    >>> print(printable("a" + chr(27) + "[2J.star"))
    a\x1b[2J.star
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


class TomosetError(Exception):
    """The root of every error that tomoset raises on purpose."""


#: Errors that are said at once.
_MOST = 10


def joined(problems: Sequence[Exception]) -> Exception:
    """Independent errors as one of the kind of the first, a line for each.

    Examples
    --------
    >>> print(joined([ModelError("one"), ModelError("another")]))
    one
    another
    """
    if len(problems) == 1:
        return problems[0]
    first = copy.copy(problems[0])
    more = [f"and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
    first.args = ("\n".join([*map(str, problems[:_MOST]), *more]),)
    return first


class FileFormatError(TomosetError, ValueError):
    """A file is not what its format promises.

    Parameters
    ----------
    message : str
        What was expected, what was found, and what to do.
    path : path-like, optional
        The file.
    line : int, optional
        The line in it, from 1.
    """

    def __init__(
        self, message: str, *, path: str | os.PathLike[str] | None = None, line: int | None = None
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        self.line = line
        where = "" if self.path is None else f"{self.path}: "
        if self.path is not None and line is not None:
            where = f"{self.path}:{line}: "
        super().__init__(where + message)


class UnknownFormatError(FileFormatError):
    """No format, or more than one, recognises a file."""


class MissingFieldError(FileFormatError, LookupError):
    """A column, key or table that is needed is absent."""


class MissingFileError(TomosetError, FileNotFoundError):
    """A file that an option or another file names is not there."""


class FileAccessError(TomosetError, OSError):
    """A file cannot be read, or must not be replaced."""


class ModelError(TomosetError, ValueError):
    """Shapes or values contradict each other."""


class VerificationError(TomosetError, ValueError):
    """What was written is not what was to be written; it was taken back."""


class ImpossibleValueError(ModelError):
    """A number that cannot be what it is said to be.

    Parameters
    ----------
    message : str
        What was expected, what was found, and what to do.
    field : str
        Of the model.
    row : int, optional
        Which of its rows, from 0: a tilt image, a particle.
    """

    def __init__(self, message: str, *, field: str = "", row: int | None = None) -> None:
        self.field, self.row = field, row
        super().__init__(message)


class AmbiguityError(TomosetError, ValueError):
    """Two choices fit. The message names the option that decides."""


class UnsupportedError(TomosetError, ValueError):
    """The target format, or this version of tomoset, cannot say this."""


class TomosetWarning(UserWarning):
    """The root of every warning that tomoset gives."""


class AssumptionWarning(TomosetWarning):
    """Something was assumed; the message says what, and from what."""


class LossyWarning(TomosetWarning):
    """Something was dropped or could not be carried; the message names it."""

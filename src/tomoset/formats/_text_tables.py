"""Small text files, and tables of numbers in them: angles (``.tlt``, ``.rawtlt``), transforms."""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileAccessError, FileFormatError, MissingFileError
from tomoset.files import read_bytes

Array = npt.NDArray[np.float64]

#: IMOD keeps sizes in four bytes; what is larger is a slip.
LARGEST = 2.0**31


def read_lines(path: str) -> list[str]:
    """Lines of a small text file, with any kind of line end.

    Raises
    ------
    MissingFileError
        If it is not there.
    FileAccessError
        If it may not be read.
    FileFormatError
        If it is a folder or not text.
    """
    text = read_text(path)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")


def read_text(path: str, limit: int | None = None) -> str:
    """A small text file, or its beginning; errors as of `read_lines`."""
    try:
        raw = read_bytes(path, limit)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FileFormatError("this is a folder, a text file was expected", path=path) from None
    except OSError as problem:
        raise FileAccessError(f"{path}: {problem.strerror}") from None
    if b"\0" in raw:
        raise FileFormatError("this is a binary file, text was expected", path=path)
    return raw.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")


def read_angles(path: str | os.PathLike[str]) -> Array:
    """Angles, one a line [deg]: (n,) float64 array. Up to three columns more are said.

    Raises
    ------
    FileFormatError
        If a line does not hold one number within ±180 degrees.
    """
    widths = {len(line.split()) for line in read_lines(os.fspath(path))} - {0}
    columns = min(widths) if len(widths) == 1 and min(widths) in (2, 3, 4) else 1
    table = read_numbers(path, columns)
    if columns > 1:
        warnings.warn(
            f"{os.fspath(path)}: {columns} columns; the first is taken for the tilt angles, and "
            "others, of doses or the order, are not carried over: give the order list (`order`, "
            "`order_list`) and the dose of an image (`fractional_dose`)",
            AssumptionWarning,
            stacklevel=2,
        )
    angles = table[:, 0]
    wild = np.abs(angles) > 180.0
    if wild.any():
        worst = int(np.argmax(wild))
        raise FileFormatError(
            f"angle {worst + 1} is {angles[worst]:g}°, expected one within ±180°", path=path
        )
    return angles


def read_numbers(path: str | os.PathLike[str], columns: int) -> Array:
    """A table of numbers without a header, blank lines passed over: (n, columns) array.

    Raises
    ------
    FileFormatError
        With the line that has too many or too few numbers, or something else.
    """
    name = os.fspath(path)
    rows = [words for line in read_lines(name) if (words := line.split())]
    if not rows:
        raise FileFormatError("the file is empty", path=name)
    if all(len(words) == columns for words in rows):
        try:
            table = np.array(rows, dtype=np.float64)
        except ValueError:
            pass
        else:
            if np.isfinite(table).all():
                return table
    raise _bad_line(name, columns)


def _bad_line(path: str, columns: int) -> FileFormatError:
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != columns:
            expected = "one number" if columns == 1 else f"{columns} numbers"
            return FileFormatError(
                f"expected {expected}, found {len(words)} values: {line.strip()[:60]!r}",
                path=path,
                line=number,
            )
        for word in words:
            try:
                fine = bool(np.isfinite(float(word)))
            except ValueError:
                fine = False
            if not fine:
                hint = "; decimals are written with a point" if "," in word else ""
                return FileFormatError(
                    f"expected a number, found {word!r}{hint}", path=path, line=number
                )
    return FileFormatError("expected a table of numbers", path=path)
